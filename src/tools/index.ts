import type { AnyTool } from './description.ts';
import { createExecutePython, type ExecutePythonLimits } from './execute-python.ts';
import { createCancelExecution, createGetExecution } from './get-execution.ts';
import { createInstallDependencies, type InstallLimits, type ParseRequirement } from './install-dependencies.ts';
import { listInstalledPackages } from './list-installed-packages.ts';

/** Every tool, in the order that clients see. */
export function createTools(limits: ExecutePythonLimits & InstallLimits, parse: ParseRequirement): readonly AnyTool[] {
  return [
    createExecutePython(limits),
    createInstallDependencies(limits, parse),
    listInstalledPackages,
    createGetExecution(limits),
    createCancelExecution(limits),
  ];
}
