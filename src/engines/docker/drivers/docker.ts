import type Docker from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import type { Protection } from '../../../sandbox/assurances.ts';
import { type ContainerSpec, containerOptions, PROCESS_COLUMNS } from '../hardening/spec.ts';
import { statusOf } from '../inspect.ts';
import { listProcesses, listProcessesInside, listsUser } from '../user-processes.ts';
import { callCreate } from './create-call.ts';
import type { ContainerDriver } from './driver.ts';

export interface DockerDriverOptions {
  /** Name of the engine, for people. */
  readonly name?: string | undefined;
  /** Whether it gives containers a user namespace. */
  readonly remapped?: boolean;
  /** Protections that sandboxes may lack. */
  readonly allowMissing?: readonly Protection[];
}

/** Sandboxes of Docker. */
export class DockerDriver implements ContainerDriver {
  readonly kind = 'docker';
  readonly name: string;
  readonly #docker: Docker;
  readonly remapped: boolean;

  readonly #allowed: readonly Protection[];

  constructor(
    docker: Docker,
    { name = 'Docker Engine', remapped = false, allowMissing = [] }: DockerDriverOptions = {},
  ) {
    this.#docker = docker;
    this.remapped = remapped;
    this.name = name;
    this.#allowed = allowMissing;
  }

  async create(spec: ContainerSpec): Promise<Docker.Container> {
    const options = containerOptions({ ...spec, remapped: this.remapped });
    const { Id, Warnings } = await callCreate(this.#docker, '/containers/create?', options);
    const container = this.#docker.getContainer(Id);
    const discarded = findDiscarded(Warnings ?? [], this.#allowed);
    if (discarded === undefined) return container;
    await container.remove({ force: true });
    throw new GloveboxError('engine_unavailable', `The container engine gives a sandbox no limit: ${discarded}`, {
      hint: 'It had that limit when this server started. Look at what has changed, and restart both.',
    });
  }

  async start(container: Docker.Container): Promise<void> {
    await container.start();
  }

  async hasProcesses(container: Docker.Container, uid: number): Promise<boolean> {
    try {
      return listsUser(await listProcesses(container, PROCESS_COLUMNS), uid);
    } catch (error) {
      // Without control groups, the engine does not know which processes are the container's.
      if (error instanceof Error && statusOf(error.cause) === 500) {
        return listsUser(await listProcessesInside(container), uid);
      }
      throw error;
    }
  }

  /** Everything of a sandbox is in its container. */
  async discard(): Promise<void> {}
}

/**
 * The warning of an engine that dropped a limit of memory or processes. Those on swap and processors are no reason to
 * refuse: many machines lack them, and the doctor tells. Texts: daemon/daemon_unix.go of github.com/moby/moby.
 */
export function findDiscarded(warnings: readonly string[], allowed: readonly Protection[] = []): string | undefined {
  const limits = (['memory', 'pids'] as const).filter((name) => !allowed.includes(name));
  return warnings.find((warning) => limits.some((name) => new RegExp(`${name} limit.*discarded`, 'i').test(warning)));
}
