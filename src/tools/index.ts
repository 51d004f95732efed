import type { AnyTool } from './description.ts';
import { createExecutePython, type ExecutePythonLimits } from './execute-python.ts';
import { listInstalledPackages } from './list-installed-packages.ts';

/** Every tool, in the order that clients see. */
export function createTools(limits: ExecutePythonLimits): readonly AnyTool[] {
  return [createExecutePython(limits), listInstalledPackages];
}
