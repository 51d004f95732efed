import type { Log } from '../log.ts';
import type { SandboxInfo } from './engine.ts';
import { type Backend, openSandbox } from './factory.ts';
import type { Instance } from './instance.ts';
import { type Manifest, Manifests } from './manifests.ts';
import type { Sandbox } from './sandbox.ts';

export interface RecoveryOptions {
  readonly backend: Backend;
  readonly instance: Instance;
  readonly manifests: Manifests;
  readonly idleTtlS: number;
  /** Takes over a session of an earlier run. */
  readonly adopt: (manifest: Manifest, sandbox: Sandbox) => void;
  readonly log: Log;
}

/**
 * Puts in order what earlier runs left on the engine. Sessions of this instance whose sandboxes still run come back;
 * all else of this instance, and what dead instances of this state directory cannot come back to, is removed.
 * Sandboxes of live instances, and those of other state directories, are left alone.
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
  const { backend, manifests, adopt, log } = options;
  const byKey = new Map(sandboxes.map((sandbox) => [sandbox.key, sandbox]));
  for (const manifest of manifests.readAll()) {
    const info = byKey.get(manifest.key);
    if (info?.running && !isExpired(manifest, options.idleTtlS)) {
      const sandbox = openSandbox(backend, info);
      try {
        // The earlier run's executions report to nobody.
        await sandbox.clear();
        adopt(manifest, sandbox);
        byKey.delete(manifest.key);
        log.info('adopted a session', { session: manifest.session_id, owner: manifest.owner });
        continue;
      } catch (error) {
        log.warn('a session could not be adopted', { session: manifest.session_id, owner: manifest.owner, error });
      }
    }
    manifests.remove(manifest.key);
  }
  await removeAll([...byKey.values()], options);
}

async function removeAll(sandboxes: SandboxInfo[], { backend: { engine }, log }: RecoveryOptions): Promise<void> {
  for (const { id, instance } of sandboxes) {
    log.info('removing an orphaned sandbox', { sandbox: id.slice(0, 12), instance });
    await engine.remove(id);
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

function isExpired(manifest: Manifest, idleTtlS: number): boolean {
  return Date.parse(manifest.last_used_at) + idleTtlS * 1000 <= Date.now();
}
