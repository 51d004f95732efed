import type { WebAccess } from '../egress/web-access.ts';
import type { ToolAccess } from '../execution/tool-access.ts';
import type { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import type { ExecutionScheduler } from '../scheduling/execution-scheduler.ts';
import type { TerminalLimits } from '../terminals/session-terminals.ts';
import type { BackgroundRecords } from './background-records.ts';
import type { SessionIdentity } from './identity.ts';
import type { InstallLimits, ParseRequirement } from './install.ts';
import type { LifetimeLimits } from './lifecycle/lifetime.ts';
import type { SandboxHost } from './lifecycle/sandbox-host.ts';
import type { RecentExecutions } from './recent-executions.ts';
import type { RunLimits } from './run-code.ts';
import type { RecordedSession, SandboxOwners } from './sandbox-owners.ts';

/** Services shared by all sessions of a control plane. */
export interface SessionHost extends SandboxHost {
  readonly limits: LifetimeLimits &
    RunLimits &
    TerminalLimits &
    InstallLimits & {
      /** Number of executions of one session at once. */
      readonly concurrency: number;
    };
  readonly parseRequirement: ParseRequirement;
  readonly owners: SandboxHost['owners'] &
    Pick<SandboxOwners, 'isOutdated' | 'generationOf' | 'recorded' | 'requireHeld'>;
  readonly scheduler: Pick<ExecutionScheduler, 'enter'>;
  readonly metrics: Pick<ExecutionMetrics, 'count' | 'countWait'>;
  /** The last executions of all sessions. */
  readonly recent: RecentExecutions;
  /** Returns the records of a session's background executions. */
  readonly recordsOf: (session: SessionIdentity) => BackgroundRecords;
  /** Gives executions access to tools. Default: they have none. */
  readonly tools?: ToolAccess | undefined;
  /** Gives executions access to other hosts. Default: they have none. */
  readonly web?: WebAccess | undefined;
  /** Saves the changed state of a session for the next control plane. */
  readonly record: (session: RecordedSession) => void;
}
