import type { ArchiveFigures } from './archives/settings.ts';
import type { GloveboxError } from './errors.ts';
import type { GatewayStats } from './packages/gateway/gateway.ts';
import type { Protection } from './sandbox/assurances.ts';
import type { EngineInfo } from './sandbox/engine.ts';
import type { PreloadFigures } from './sandbox/preloads.ts';
import type { ExecutionFigures } from './scheduling/execution-scheduler.ts';

/** Health, as reported by `GET /health`. */
export interface GloveboxHealth {
  readonly engine: EngineInfo;
  readonly image: string;
  readonly sessions: number;
  /** Number of these that are still to be adopted from the last run. */
  readonly adopting: number;
  readonly pool: { readonly size: number; readonly ready: number };
  readonly preload: PreloadFigures;
  readonly executions: ExecutionFigures;
  /** Control planes of the same sessions whose leases run, this one first. Left out where there can be one only. */
  readonly control_planes?: readonly { readonly name: string; readonly version: string }[];
  /** Protections that sandboxes of this engine lack, as GLOVEBOX_ALLOW_MISSING allows. Left out if none. */
  readonly missing?: readonly Protection[];
  /** What fails at the storage of archives, by the last requests to it. Sessions go on meanwhile. Left out: nothing. */
  readonly archives?: ReturnType<GloveboxError['toBody']>;
}

/** Current load. */
export interface GloveboxFigures
  extends Pick<GloveboxHealth, 'sessions' | 'adopting' | 'pool' | 'preload' | 'executions' | 'missing'> {
  /** Number of terminals that have not ended. */
  readonly terminals: number;
  /** Sum of the memory limits of all sandboxes. */
  readonly claimedMb: number;
  /** Number of sessions that consist of their archive. */
  readonly hibernated: number;
  readonly archives: ArchiveFigures;
  /** What the package gateway has done. Undefined until a sandbox asks for a package. */
  readonly packages?: GatewayStats | undefined;
}
