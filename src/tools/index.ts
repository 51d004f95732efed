import type { ParseRequirement } from '../sessions/install.ts';
import { deleteFile } from './delete-file.ts';
import type { AnyTool } from './description.ts';
import { createExecutePython } from './execute-python.ts';
import { cancelExecution, getExecution } from './get-execution.ts';
import { createInstallDependencies, type InstallDependenciesLimits } from './install-dependencies.ts';
import { listFiles } from './list-files.ts';
import { listInstalledPackages } from './list-installed-packages.ts';
import { closeSession, listSessions } from './list-sessions.ts';
import { listProcesses } from './processes/list-processes.ts';
import { sendInput, sendSignal } from './processes/send-input.ts';
import type { ProgramLimits } from './programs/program-fields.ts';
import { createRunCommand } from './programs/run-command.ts';
import { readFile } from './read-file.ts';
import { createSearchTools, type ToolServers } from './search-tools.ts';
import { forkSession, snapshotSession } from './snapshot-session.ts';
import { createWriteFile, type WriteFileLimits } from './write-file.ts';

/** All tools, in the order that clients see. @param toolServers servers whose tools code may call, if there are any */
export function createTools(
  limits: ProgramLimits & InstallDependenciesLimits & WriteFileLimits,
  parse: ParseRequirement,
  toolServers?: ToolServers,
): readonly AnyTool[] {
  return [
    createExecutePython({ ...limits, hasTools: toolServers !== undefined }),
    createRunCommand({ ...limits, hasTools: toolServers !== undefined }),
    ...(toolServers ? [createSearchTools(toolServers)] : []),
    createInstallDependencies(limits, parse),
    listInstalledPackages,
    createWriteFile(limits),
    readFile,
    listFiles,
    deleteFile,
    getExecution,
    cancelExecution,
    listProcesses,
    sendInput,
    sendSignal,
    snapshotSession,
    forkSession,
    listSessions,
    closeSession,
  ];
}
