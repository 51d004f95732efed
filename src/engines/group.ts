import { GloveboxError } from '../errors.ts';
import type { OpenedEngine } from '../sandbox/engine.ts';
import type { Introduction, SharedState } from '../state/state.ts';

/** Default of GLOVEBOX_LEASE_S. */
const DEFAULT_LEASE_S = 15;

/** Settings that say whether a control plane is one of several. */
export interface GroupSettings {
  /** Where it is kept who holds which session. Default: in the state directory. */
  readonly state?: 'directory' | 'cluster';
  /** Seconds without a sign of life after which other control planes take over. */
  readonly leaseS?: number;
}

export interface GroupOptions {
  /** Name of the group: that of the instance. */
  readonly instance: string;
  /** How others of its group reach this control plane. Required where the state is in the cluster. */
  readonly introduction?: Introduction | undefined;
  /** Called once it has joined its group. */
  readonly onJoined?: ((state: SharedState) => void) | undefined;
}

/** @throws GloveboxError `invalid_input` where the state is in the cluster, and nobody could reach this process */
export function assertReachable({ state }: GroupSettings, { introduction }: GroupOptions): void {
  if (state !== 'cluster' || introduction) return;
  throw new GloveboxError('invalid_input', 'GLOVEBOX_STATE is cluster, and only servers share their sessions.', {
    hint: 'Start one with glovebox serve, or set GLOVEBOX_STATE=directory here.',
  });
}

/** Joins the group of a control plane, if it may be one of several. @throws GloveboxError `engine_unavailable` */
export async function joinGroup(
  { join }: OpenedEngine,
  { state, leaseS = DEFAULT_LEASE_S }: GroupSettings,
  { instance: group, introduction, onJoined }: GroupOptions,
): Promise<SharedState | undefined> {
  if (state !== 'cluster' || !introduction) return undefined;
  const joined = await join?.({ group, introduction, leaseS });
  if (joined) onJoined?.(joined);
  return joined;
}

/** The live control planes of a group for `GET /health`, this one first. */
export function describeGroup(state: SharedState | undefined) {
  if (!state) return {};
  return { control_planes: [state.self, ...state.others].map(({ name, version }) => ({ name, version })) };
}
