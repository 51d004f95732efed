import type { ArchiveRecord } from '../archives/record.ts';
import type { Log } from '../log.ts';
import type { RunnerState } from '../protocol/greeting.ts';
import { type SandboxInfo, shortName } from '../sandbox/engine.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import { type Backend, openSandbox } from '../sandbox/start-sandbox.ts';
import type { Instance } from '../state/instance.ts';
import { Manifests } from '../state/manifests.ts';
import type { SavedSession, SharedSession, SharedState } from '../state/state.ts';
import { BackgroundRecords } from './background-records.ts';

/** What remains of a session of an earlier control plane. */
export interface Remains {
  /** Recorded names of its contexts. */
  readonly contexts: readonly string[];
  /** State of its runner. Undefined if all processes are gone. */
  readonly runnerState?: RunnerState | undefined;
  /** Why its sandbox is gone. Left out if the sandbox exists. */
  readonly sandboxLost?: 'sandbox_lost' | 'runner_incompatible';
}

/** Session of which something was written down. */
type SavedShared = SharedSession & { readonly saved: SavedSession };

export interface RecoveryOptions {
  readonly backend: Backend;
  readonly instance: Instance;
  readonly state: SharedState;
  readonly idleTtlS: number;
  /** Sessions with an archive. With `at_rest`, the session consists of the archive, even if a sandbox is found. */
  readonly archived: readonly ArchiveRecord[];
  /** Takes over a session of an earlier run. If its sandbox is gone, it continues in a new one. */
  readonly adopt: (held: SharedSession, sandbox: SandboxHandle | undefined, record?: ArchiveRecord) => void;
  readonly log: Log;
}

/**
 * Recovers what earlier runs left on the engine. Sessions of this instance are taken over, with their sandboxes if these
 * still run. Other sandboxes of this instance are left over, and those that dead instances of this state directory cannot
 * use again. Sandboxes of running instances and of other state directories are left alone.
 * @returns removes the sandboxes that are left over
 */
export async function recover(options: RecoveryOptions): Promise<() => Promise<void>> {
  const byInstance = Map.groupBy(await options.backend.engine.list(), (sandbox) =>
    options.instance.nameOf(sandbox.instance),
  );
  const leftOver = await recoverOwn(byInstance.get(options.instance.name) ?? [], options);
  return async () => {
    const own = options.instance.name;
    const steps = [...byInstance].map(([name, sandboxes]) => async () => {
      if (name !== undefined && name !== own) await removeUnused(name, sandboxes, options);
    });
    await tryAll([async () => await removeAll(leftOver, options), ...steps], async (step) => await step());
  };
}

/** Takes over the sessions of this instance. Returns the sandboxes that belong to none. */
async function recoverOwn(sandboxes: readonly SandboxInfo[], options: RecoveryOptions): Promise<SandboxInfo[]> {
  const { instance, state, archived, backend } = options;
  const records = new Map(archived.map((record) => [idOf(record.owner, record.session_id), record]));
  const recordOf = ({ owner, id }: SavedShared) => records.get(idOf(owner, id));
  const all = state.all().flatMap(({ saved, ...session }) => (saved ? [{ ...session, saved }] : []));
  // An earlier attempt, which failed later, may have taken some over.
  const isHeld = (session: SavedShared) => state.holderOf(session) !== undefined;
  // The sandbox of a hibernated session was not filled completely, or was about to be removed.
  const isOver = (session: SavedShared) => recordOf(session)?.at_rest || isExpired(session.saved, options.idleTtlS);
  const live = all.filter((session) => isHeld(session) || !isOver(session));
  for (const session of all) if (!live.includes(session)) await state.remove(await state.claim(session));
  const kept = [...live.map(({ owner, id }) => ({ owner, session_id: id })), ...archived];
  BackgroundRecords.sweep(instance.directory, kept);
  const running = new Map(sandboxes.filter((info) => info.running).map((info) => [info.key, info]));
  for (const session of live) {
    if (isHeld(session)) continue;
    const info = running.get(session.saved.key ?? '');
    options.adopt(await state.claim(session), info && openSandbox(backend, info), recordOf(session));
  }
  const keys = new Set(live.map(({ saved }) => saved.key));
  return sandboxes.filter(({ key, running: runs }) => !(runs && keys.has(key)));
}

/** Returns a unique text for a session: no name contains NUL. */
function idOf(owner: string, id: string): string {
  return `${owner}\0${id}`;
}

/** Removes the sandboxes that another instance cannot use again, unless it runs. */
async function removeUnused(name: string, sandboxes: readonly SandboxInfo[], options: RecoveryOptions): Promise<void> {
  await options.instance.ifDead(name, async (directory, ephemeral) => {
    const kept = ephemeral ? new Set<string>() : liveKeys(new Manifests(directory), options.idleTtlS);
    await removeAll(
      sandboxes.filter((sandbox) => !kept.has(sandbox.key)),
      options,
    );
  });
}

async function removeAll(
  sandboxes: readonly SandboxInfo[],
  { backend: { engine }, log }: RecoveryOptions,
): Promise<void> {
  await tryAll(sandboxes, async ({ ref, instance }) => {
    log.info('removing an orphaned sandbox', { sandbox: shortName(ref), instance });
    await engine.remove(ref);
  });
}

/** Does something with each item in turn, also after one that failed. @throws the first failure, once all were tried */
async function tryAll<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const failures: unknown[] = [];
  for (const item of items) await act(item).catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

function liveKeys(manifests: Manifests, idleTtlS: number): Set<string> {
  return new Set(
    manifests
      .readAll()
      .filter((manifest) => !isExpired(manifest, idleTtlS))
      .map((manifest) => manifest.key),
  );
}

function isExpired({ last_used_at: lastUsed, busy_until: busy = lastUsed }: SavedSession, idleTtlS: number): boolean {
  return Math.max(Date.parse(lastUsed), Date.parse(busy)) + idleTtlS * 1000 <= Date.now();
}
