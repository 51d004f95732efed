import type Docker from 'dockerode';
import { GloveboxError } from '../../errors.ts';
import { ConcurrencyLimit } from '../../lib/concurrency-limit.ts';
import type { PieceStream } from '../../lib/reused-memory.ts';
import type { Log } from '../../log.ts';
import type {
  ConnectOptions,
  Engine,
  EngineInfo,
  SandboxInfo,
  SandboxRef,
  SandboxSpec,
  StartedSandbox,
} from '../../sandbox/engine.ts';
import { LaterRemovals } from '../later-removals.ts';
import { logRunnerStderr } from '../runner-stderr.ts';
import { endAll, isFree, pickUser } from '../session-users.ts';
import { askAgain, explain } from './answer.ts';
import { ExecStream } from './demux.ts';
import type { ContainerDriver } from './drivers/driver.ts';
import { containerName, LABELS, runnerExecOptions } from './hardening/spec.ts';
import { isMissing, statusOf } from './inspect.ts';
import { createExec, listContainers } from './told.ts';
import { killUser } from './user-processes.ts';

/**
 * Containers that are removed at once. More are not removed faster, but each waits for all others: hundreds at once would
 * run out of the time for an answer. Docker before 23 may also stop for good while many containers come and go
 * (github.com/moby/moby/pull/42545).
 */
const MOST_REMOVALS = 4;
/** Longest time that a removal keeps others waiting, in milliseconds. */
const REMOVAL_HOLD_MS = 5000;

/** Separates the id of a container, its user and its key in the ref of a sandbox. */
const REF_SEPARATOR = '/';

/** Sandboxes as containers of a Docker-compatible engine. */
export class DockerEngine implements Engine {
  readonly #docker: Docker;
  readonly #log: Log;
  readonly #driver: ContainerDriver;
  readonly #later = new LaterRemovals();
  readonly #removals = new ConcurrencyLimit(MOST_REMOVALS, REMOVAL_HOLD_MS);

  constructor(docker: Docker, driver: ContainerDriver, log: Log) {
    this.#docker = docker;
    this.#driver = driver;
    this.#log = log;
  }

  async start(spec: SandboxSpec): Promise<StartedSandbox> {
    const uid = await pickUser(this.#listUsers);
    const creating = this.#driver.create({ ...spec, uid });
    try {
      const container = await explain(creating);
      await explain(this.#driver.start(container));
      // If two control planes picked the same user at once, at least the later one sees that now.
      return { ref: toRef(container.id, uid, spec.key), confirmed: isFree(this.#listUsers, uid, spec.key) };
    } catch (error) {
      // By name, because the engine may have created it although its answer was lost.
      await this.#remove(containerName(spec.key), spec.key).catch(() => {});
      // An engine that answers late may have created it after that.
      void creating.then(({ id }) => this.#remove(id, spec.key)).catch(() => {});
      throw error;
    }
  }

  async connect(ref: SandboxRef, options?: ConnectOptions): Promise<PieceStream> {
    const { container, uid } = this.#find(ref);
    const exec = await createExec(container, runnerExecOptions(uid, options));
    const stream = await explain(exec.start({ hijack: true, stdin: true }), (late) => late.destroy());
    return new ExecStream(stream, logRunnerStderr(this.#log, ref));
  }

  async endProcesses(ref: SandboxRef): Promise<boolean> {
    const { container, uid } = this.#find(ref);
    return await endAll({
      kill: () => killUser(container, uid),
      any: () => this.#driver.hasProcesses(container, uid),
    });
  }

  async remove(ref: SandboxRef): Promise<void> {
    const { container, key } = this.#find(ref);
    await this.#remove(container.id, key);
  }

  async list(): Promise<SandboxInfo[]> {
    return (await listContainers(this.#docker, [LABELS.key])).map(({ Id, Labels, State }) => ({
      ref: toRef(Id, Number(Labels[LABELS.uid]), Labels[LABELS.key] ?? ''),
      key: Labels[LABELS.key] ?? '',
      instance: Labels[LABELS.instance] ?? '',
      running: State === 'running',
    }));
  }

  async info(): Promise<EngineInfo> {
    const version = await explain(askAgain(() => this.#docker.version()));
    return { name: this.#driver.name, version: version.Version };
  }

  #find(ref: SandboxRef): { readonly container: Docker.Container; readonly uid: number; readonly key: string } {
    const [id = '', uid = '', key = ''] = ref.split(REF_SEPARATOR);
    return { container: this.#docker.getContainer(id), uid: Number(uid), key };
  }

  readonly #listUsers = async (uid?: number) => {
    const label = [LABELS.key, ...(uid === undefined ? [] : [`${LABELS.uid}=${uid}`])];
    const containers = await listContainers(this.#docker, label);
    return containers.map(({ Labels }) => ({ key: Labels[LABELS.key] ?? '', uid: Number(Labels[LABELS.uid]) }));
  };

  /** Removes a container, and what else its sandbox has. @param id its id or its name */
  async #remove(id: string, key: string): Promise<void> {
    const container = this.#docker.getContainer(id);
    try {
      await this.#removals.run(() => explain(container.remove({ force: true, v: true })));
    } catch (error) {
      const isGone = error instanceof GloveboxError && error.code === 'sandbox_lost';
      // Another call is removing it, but that may fail.
      if (!isGone || statusOf(error.cause) === 409) this.#later.add(id, () => this.#remove(id, key));
      if (!isGone && !(await isGoneAfterAll(container, error))) throw error;
    }
    await explain(this.#driver.discard(key));
  }
}

/** Returns whether a refused removal has been done by another call, which not each engine answers with 404. */
async function isGoneAfterAll(container: Docker.Container, refusal: unknown): Promise<boolean> {
  const wasAnswered = refusal instanceof GloveboxError && statusOf(refusal.cause) !== undefined;
  return wasAnswered && (await isMissing(explain(container.inspect())));
}

function toRef(id: string, uid: number, key: string): SandboxRef {
  return [id, uid, key].join(REF_SEPARATOR);
}
