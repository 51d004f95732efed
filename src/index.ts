// The library: what `import … from 'glovebox'` gives. Nothing else of the package may be imported.
export { type ErrorCode, GloveboxError } from './errors.ts';
export type { Display } from './execution/displays.ts';
export type { MetLimit } from './execution/limits-met.ts';
export type { ExecutionEvent, ExecutionResult, ProgressEvent } from './execution/result.ts';
export type { ToolCall, ToolCallEvent } from './execution/tool-access.ts';
export type { FileEntry } from './files/session-files.ts';
export type { ClientToolOptions } from './library/client-tools.ts';
export type { FileContent, Files } from './library/files.ts';
export { Glovebox, type GloveboxHealth } from './library/glovebox.ts';
export type { GloveboxOptions } from './library/options.ts';
export type {
  BackgroundExecution,
  CommandOptions,
  RunOptions,
  Session,
  SessionInfo,
  StartCommandOptions,
  StartOptions,
} from './library/session.ts';
export type { OpenSessionOptions, Sessions } from './library/sessions.ts';
export type { Snapshot, Snapshots } from './library/snapshots.ts';
export type { Terminal, TerminalEnd, TerminalOptions, TerminalSize, TerminalViewer } from './library/terminal.ts';
export type { BackgroundReading } from './sessions/background-execution.ts';
export type { InstallOptions, InstallResult } from './sessions/install.ts';
