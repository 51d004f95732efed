import type { ArchiveRecord } from '../archives/record.ts';
import { GloveboxError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { RunnerState } from '../protocol/greeting.ts';
import { type SandboxInfo, shortName } from '../sandbox/engine.ts';
import { isIncompatible } from '../sandbox/runner-connection.ts';
import type { SandboxHandle } from '../sandbox/sandbox.ts';
import { type Backend, openSandbox } from '../sandbox/start-sandbox.ts';
import { BackgroundRecords } from './background-records.ts';
import type { Instance } from './instance.ts';
import { type Manifest, Manifests } from './manifests.ts';

/** Number of sessions to adopt at once. Each takes about 100 ms, or seconds if a program does not end. */
const ADOPTIONS_AT_ONCE = 8;

/** What remains of a session of an earlier control plane. */
export interface Remains {
  /** Recorded names of its contexts. */
  readonly contexts: readonly string[];
  /** State of its runner. Undefined if all processes are gone. */
  readonly runnerState?: RunnerState | undefined;
  /** Why its sandbox is gone. Left out if the sandbox exists. */
  readonly sandboxLost?: 'sandbox_lost' | 'runner_incompatible';
}

export interface RecoveryOptions {
  readonly backend: Backend;
  readonly instance: Instance;
  readonly manifests: Manifests;
  readonly idleTtlS: number;
  /** Sessions with an archive. With `at_rest`, the session consists of the archive, even if a sandbox is found. */
  readonly archived: readonly Pick<ArchiveRecord, 'owner' | 'session_id' | 'at_rest'>[];
  /** Takes over a session of an earlier run. If its sandbox is gone, it continues in a new one. */
  readonly adopt: (manifest: Manifest, sandbox: SandboxHandle | undefined, remains: Remains) => void;
  /** Whether an earlier, failed attempt has taken over the session already. */
  readonly isAdopted: (manifest: Manifest) => boolean;
  readonly log: Log;
}

/**
 * Recovers what earlier runs left on the engine. Sessions of this instance are restored, with their sandboxes if these
 * still run. Other sandboxes of this instance are removed, and those that dead instances of this state directory cannot
 * use again. Sandboxes of running instances and of other state directories are left alone.
 */
export async function recover(options: RecoveryOptions): Promise<void> {
  const byInstance = Map.groupBy(await options.backend.engine.list(), (sandbox) =>
    options.instance.nameOf(sandbox.instance),
  );
  await recoverOwn(byInstance.get(options.instance.name) ?? [], options);
  for (const [name, sandboxes] of byInstance) {
    if (name === undefined || name === options.instance.name) continue;
    await options.instance.ifDead(name, async (directory, ephemeral) => {
      const kept = ephemeral ? new Set<string>() : liveKeys(new Manifests(directory), options.idleTtlS);
      await removeAll(
        sandboxes.filter((sandbox) => !kept.has(sandbox.key)),
        options,
      );
    });
  }
}

async function recoverOwn(sandboxes: SandboxInfo[], options: RecoveryOptions): Promise<void> {
  const { instance, manifests, archived, log } = options;
  const byKey = new Map(sandboxes.map((sandbox) => [sandbox.key, sandbox]));
  const all = manifests.readAll();
  const rests = ({ owner, session_id: id }: Manifest) =>
    archived.some((record) => record.at_rest && record.owner === owner && record.session_id === id);
  // The sandbox of a hibernated session was not filled completely, or was about to be removed.
  const live = all.filter((manifest) => !rests(manifest) && !isExpired(manifest, options.idleTtlS));
  for (const { key } of all.filter((manifest) => !live.includes(manifest))) manifests.remove(key);
  BackgroundRecords.sweep(instance.directory, [...live, ...archived]);
  const waiting = live.values();
  const work = async () => {
    for (const manifest of waiting) {
      if (options.isAdopted(manifest)) {
        byKey.delete(manifest.key);
        continue;
      }
      const isKept = await recoverSession(manifest, byKey.get(manifest.key), options);
      if (isKept) byKey.delete(manifest.key);
      const facts = { session: manifest.session_id, owner: manifest.owner };
      log.info(isKept ? 'adopted a session' : 'adopted a session without its sandbox', facts);
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: ADOPTIONS_AT_ONCE }, work));
  // If the engine does not answer now, the next attempt takes over the sandbox.
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason;
  await removeAll([...byKey.values()], options);
}

/** Restores a session. Returns whether its sandbox could be kept; the session is kept in any case. */
async function recoverSession(
  manifest: Manifest,
  info: SandboxInfo | undefined,
  { backend, adopt, log }: RecoveryOptions,
): Promise<boolean> {
  const contexts = manifest.contexts ?? [];
  const sandbox = info?.running ? openSandbox(backend, info) : undefined;
  let sandboxLost: Remains['sandboxLost'] = 'sandbox_lost';
  try {
    if (sandbox) {
      adopt(manifest, sandbox, { contexts, runnerState: await sandbox.adopt() });
      return true;
    }
  } catch (error) {
    if (!(error instanceof GloveboxError && error.code === 'sandbox_lost')) throw error;
    if (isIncompatible(error)) sandboxLost = 'runner_incompatible';
    log.warn('a sandbox could not be adopted', { session: manifest.session_id, owner: manifest.owner, error });
  }
  adopt(manifest, undefined, { contexts, sandboxLost });
  return false;
}

async function removeAll(sandboxes: SandboxInfo[], { backend: { engine }, log }: RecoveryOptions): Promise<void> {
  for (const { ref, instance } of sandboxes) {
    log.info('removing an orphaned sandbox', { sandbox: shortName(ref), instance });
    await engine.remove(ref);
  }
}

function liveKeys(manifests: Manifests, idleTtlS: number): Set<string> {
  return new Set(
    manifests
      .readAll()
      .filter((manifest) => !isExpired(manifest, idleTtlS))
      .map((manifest) => manifest.key),
  );
}

function isExpired({ last_used_at: lastUsed, busy_until: busy = lastUsed }: Manifest, idleTtlS: number): boolean {
  return Math.max(Date.parse(lastUsed), Date.parse(busy)) + idleTtlS * 1000 <= Date.now();
}
