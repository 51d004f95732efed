import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import {
  type Engine,
  type EngineInfo,
  type SandboxInfo,
  type SandboxRef,
  type SandboxSpec,
  type StartedSandbox,
  shortName,
} from '../../sandbox/engine.ts';
import { explain } from './answer.ts';
import { demultiplex } from './demux.ts';
import { containerOptions, LABELS, runnerExecOptions } from './hardening/spec.ts';
import { statusOf } from './inspect.ts';
import { endAll, isFree, pickUser } from './session-users.ts';
import { hasProcesses, killUser } from './user-processes.ts';

/** Most that a runner's stderr adds to the log: it says something only when it is broken, or in hostile hands. */
const STDERR_LIMIT = 2048;

/** Between two attempts to remove what an engine that was down, or hung, could not. */
const REMOVE_AGAIN_MS = 5000;

/** Between the id of a container and its user, in the ref of a sandbox. */
const REF_SEPARATOR = '/';

/** Sandboxes as containers of a Docker-compatible engine. */
export class DockerEngine implements Engine {
  readonly #docker: Docker;
  readonly #log: Log;
  /** What is still to be removed. */
  readonly #doomed = new Set<string>();

  constructor(docker: Docker, log: Log) {
    this.#docker = docker;
    this.#log = log;
  }

  async start(spec: SandboxSpec): Promise<StartedSandbox> {
    const uid = await pickUser(this.#listUsers);
    const options = containerOptions({ ...spec, uid });
    const creating = this.#docker.createContainer(options);
    try {
      const container = await explain(creating);
      await explain(container.start());
      // Of two control planes that picked the same user at once, at least the later one sees it now.
      return { ref: toRef(container.id, uid), confirmed: isFree(this.#listUsers, uid, spec.key) };
    } catch (error) {
      // By name, because an engine whose answer was lost may have made it all the same.
      if (options.name) await this.#remove(options.name).catch(() => {});
      // One that answers only later may have made it after that.
      void creating.then(({ id }) => this.#remove(id)).catch(() => {});
      throw error;
    }
  }

  async connect(ref: SandboxRef): Promise<Duplex> {
    const { container, uid } = this.#find(ref);
    const exec = await explain(container.exec(runnerExecOptions(uid)));
    const stream = await explain(exec.start({ hijack: true, stdin: true }), (late) => late.destroy());
    let logged = 0;
    return demultiplex(stream, (chunk) => {
      if (logged < STDERR_LIMIT)
        this.#log.warn('a runner wrote to stderr', {
          sandbox: shortName(ref),
          text: chunk.toString('utf8', 0, STDERR_LIMIT),
        });
      logged += chunk.length;
    });
  }

  async endProcesses(ref: SandboxRef): Promise<boolean> {
    const { container, uid } = this.#find(ref);
    return await endAll({ kill: () => killUser(container, uid), any: () => hasProcesses(container, uid) });
  }

  async remove(ref: SandboxRef): Promise<void> {
    await this.#remove(this.#find(ref).container.id);
  }

  async list(): Promise<SandboxInfo[]> {
    return (await this.#list([LABELS.key])).map(({ Id, Labels, State }) => ({
      ref: toRef(Id, Number(Labels[LABELS.uid])),
      key: Labels[LABELS.key] ?? '',
      instance: Labels[LABELS.instance] ?? '',
      running: State === 'running',
    }));
  }

  async info(): Promise<EngineInfo> {
    const version = await explain(this.#docker.version());
    return { name: version.Platform?.Name || 'Docker Engine', version: version.Version };
  }

  #find(ref: SandboxRef): { readonly container: Docker.Container; readonly uid: number } {
    const [id = '', uid = ''] = ref.split(REF_SEPARATOR);
    return { container: this.#docker.getContainer(id), uid: Number(uid) };
  }

  readonly #listUsers = async (uid?: number) => {
    const containers = await this.#list([LABELS.key, ...(uid === undefined ? [] : [`${LABELS.uid}=${uid}`])]);
    return containers.map(({ Labels }) => ({ key: Labels[LABELS.key] ?? '', uid: Number(Labels[LABELS.uid]) }));
  };

  /** @param label all of which a container must have */
  async #list(label: string[]): Promise<Docker.ContainerInfo[]> {
    return await explain(this.#docker.listContainers({ all: true, filters: { label } }));
  }

  /** @param id of a container, or its name */
  async #remove(id: string): Promise<void> {
    try {
      await explain(this.#docker.getContainer(id).remove({ force: true, v: true }));
    } catch (error) {
      const isGone = error instanceof GloveboxError && error.code === 'sandbox_lost';
      // Another call is removing it, and may fail.
      if (!isGone || statusOf(error.cause) === 409) this.#removeLater(id);
      if (!isGone) throw error;
    }
  }

  /** Over and over: an engine that is down now keeps what it has, and may be back in a moment. */
  #removeLater(id: string): void {
    if (this.#doomed.has(id)) return;
    this.#doomed.add(id);
    const again = () => {
      this.#doomed.delete(id);
      this.#remove(id).catch(() => {});
    };
    setTimeout(again, REMOVE_AGAIN_MS).unref();
  }
}

function toRef(id: string, uid: number): SandboxRef {
  return `${id}${REF_SEPARATOR}${uid}`;
}
