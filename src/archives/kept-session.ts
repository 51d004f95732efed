import type { SandboxHandle } from '../sandbox/sandbox.ts';

/** Part of a sandbox that checkpoints need. */
export type RunningSandbox = Pick<SandboxHandle, 'lost' | 'execute' | 'unpacks'>;

/** Part of a session that its checkpoints need. */
export interface KeptSession {
  readonly id: string;
  readonly owner: string;
  readonly createdAt: Date;
  /** Patterns of hosts to which its executions are narrowed. */
  readonly webPatterns?: readonly string[] | undefined;
  /** Whether executions are running. */
  readonly isBusy: boolean;
  /** Number of its holder, where several control planes share archives: a later one has a higher number. */
  readonly generation?: number | undefined;
  /** Called when it has its first archive. */
  onArchived?(): void;
}
