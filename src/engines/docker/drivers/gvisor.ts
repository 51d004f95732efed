import type Docker from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { limitExecOptions } from '../hardening/gvisor.ts';
import type { ContainerSpec } from '../hardening/spec.ts';
import { listProcessesInside, listsUser, runForOutput } from '../user-processes.ts';
import { DockerDriver } from './docker.ts';

/** Sandboxes of Docker with gVisor as their runtime. */
export class GvisorDriver extends DockerDriver {
  /** Limits of processes of those that are made and not started yet. */
  readonly #pids = new WeakMap<Docker.Container, number>();

  override async create(spec: ContainerSpec): Promise<Docker.Container> {
    const container = await super.create(spec);
    this.#pids.set(container, spec.pids);
    return container;
  }

  override async start(container: Docker.Container): Promise<void> {
    await super.start(container);
    const pids = this.#pids.get(container);
    if (pids === undefined || (await runForOutput(container, limitExecOptions(pids))).trim() === 'done') return;
    throw new GloveboxError('engine_unavailable', 'A sandbox of gVisor got no limit of processes.', {
      hint: 'Take a newer release of gVisor: docs/engines.md has one that holds.',
    });
  }

  /** The engine would list processes of the host: it takes the numbers that gVisor gives its own for some of those. */
  override async hasProcesses(container: Docker.Container, uid: number): Promise<boolean> {
    return listsUser(await listProcessesInside(container), uid);
  }
}
