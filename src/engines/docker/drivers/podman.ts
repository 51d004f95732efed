import type Docker from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import type { Protection } from '../../../sandbox/assurances.ts';
import {
  findDropped,
  type MadeContainer,
  mayLack,
  type PodmanOptions,
  podmanDiskNames,
  podmanDisks,
  podmanOptions,
  sealExecOptions,
} from '../hardening/podman.ts';
import type { ContainerSpec } from '../hardening/spec.ts';
import { reasonOf, statusOf } from '../inspect.ts';
import { createExec, untold } from '../told.ts';
import { listProcesses, listsUser } from '../user-processes.ts';
import { callCreate } from './create-call.ts';
import type { ContainerDriver } from './driver.ts';
import { PodmanDisks } from './podman-disks.ts';
import { ProfileFile } from './profile-file.ts';

/** Path of a call of Podman's own API. Every later version answers to it. */
const CREATE = '/v5.0.0/libpod/containers/create';

/** Columns that Podman reads itself. Given arguments of `ps`, it would run one in the sandbox. */
const PROCESS_COLUMNS = 'pid,uid,state';

export interface PodmanDriverOptions {
  /** Folder for the system call filter, on the engine's machine. */
  readonly directory: string;
  /** `1` or `2`. */
  readonly cgroupVersion: string;
  /** Whether it gives containers a user namespace. */
  readonly remapped?: boolean;
  /** Protections that sandboxes may lack. */
  readonly allowMissing?: readonly Protection[];
}

/** Sandboxes of Podman. Their disks are volumes, and their system call filter is a file that its service reads. */
export class PodmanDriver implements ContainerDriver {
  readonly kind = 'podman';
  readonly name = 'Podman Engine';
  readonly #docker: Docker;
  readonly #disks: PodmanDisks;
  readonly #profile: ProfileFile;
  readonly #cgroupVersion: string;
  readonly remapped: boolean;
  readonly #allowed: readonly Protection[];

  constructor(docker: Docker, { directory, cgroupVersion, remapped = false, allowMissing = [] }: PodmanDriverOptions) {
    this.#docker = docker;
    this.#disks = new PodmanDisks(docker);
    this.#profile = new ProfileFile(directory, remapped);
    this.remapped = remapped;
    this.#cgroupVersion = cgroupVersion;
    this.#allowed = allowMissing;
  }

  async create(spec: ContainerSpec): Promise<Docker.Container> {
    const options = podmanOptions({ ...spec, remapped: this.remapped }, this.#profile.path);
    this.#profile.ensure();
    this.#disks.sweepNowAndThen();
    try {
      await Promise.all(podmanDisks(spec).map((disk) => this.#disks.create(disk, spec.key)));
      const container = await this.#createContainer(options);
      await assertAsAsked(options, container, this.#allowed);
      return container;
    } catch (error) {
      await this.discard(spec.key).catch(() => {});
      throw error;
    }
  }

  async start(container: Docker.Container): Promise<void> {
    await container.start();
    if (this.#cgroupVersion === '1') await sealCgroups(container);
  }

  async hasProcesses(container: Docker.Container, uid: number): Promise<boolean> {
    return listsUser(await listProcesses(container, PROCESS_COLUMNS), uid);
  }

  async discard(key: string): Promise<void> {
    await Promise.all(podmanDiskNames(key).map((name) => this.#disks.remove(name)));
  }

  async #createContainer(options: PodmanOptions): Promise<Docker.Container> {
    try {
      return this.#docker.getContainer((await callCreate(this.#docker, CREATE, options)).Id);
    } catch (error) {
      if (statusOf(error) === 404 && /page not found/i.test(reasonOf(error))) {
        throw new GloveboxError('engine_unavailable', 'The container engine is no longer Podman.', {
          hint: 'Restart Glovebox: it then finds out what the engine is.',
          cause: error,
        });
      }
      if (!/seccomp profile/i.test(reasonOf(error))) throw error;
      throw new GloveboxError(
        'engine_unavailable',
        `Podman cannot read the system call filter in ${this.#profile.path}.`,
        {
          hint: 'Podman takes it as a file on its own machine: run Glovebox there, outside of containers, with a GLOVEBOX_STATE_DIR that the service of Podman can read.',
          cause: error,
        },
      );
    }
  }
}

/** Makes what crun mounts over control groups of version 1 read-only. @throws GloveboxError `engine_unavailable` */
async function sealCgroups(container: Docker.Container): Promise<void> {
  const exec = await createExec(container, sealExecOptions());
  const stream = await exec.start({ hijack: true, stdin: false });
  stream.resume();
  await new Promise((resolve) => stream.once('close', resolve).once('end', resolve).once('error', resolve));
  if ((await exec.inspect()).ExitCode === 0) return;
  throw new GloveboxError('engine_unavailable', 'A sandbox of Podman could not be sealed: /sys/fs/cgroup.');
}

/** Removes a container that lacks what was asked for. @throws GloveboxError `engine_unavailable` */
async function assertAsAsked(
  options: PodmanOptions,
  container: Docker.Container,
  allowed: readonly Protection[],
): Promise<void> {
  const made: Partial<MadeContainer> = (await container.inspect()) as unknown as MadeContainer;
  const { HostConfig } = made;
  const dropped = HostConfig && findDropped(options, { HostConfig }).filter((what) => !mayLack(what, allowed));
  if (dropped?.length === 0) return;
  await container.remove({ force: true });
  if (!dropped) throw untold('how it made a sandbox');
  throw new GloveboxError(
    'engine_unavailable',
    `Podman does not give a sandbox what was asked for: ${dropped.join(', ')}.`,
    { hint: 'Run Podman as root, or without root on a host with control groups of version 2.' },
  );
}
