import type Docker from 'dockerode';
import { DISK_LABEL, type PodmanDisk } from '../hardening/podman.ts';
import { isMissing, statusOf } from '../inspect.ts';
import { listContainers } from '../told.ts';

/** Interval between two searches for disks that were left, in milliseconds. */
const SWEEP_EVERY_MS = 10 * 60 * 1000;
/** Age in milliseconds below which a disk may still wait for its container. */
const FRESH_MS = 2 * 60 * 1000;

/** The disks of Podman's sandboxes, which are volumes. */
export class PodmanDisks {
  readonly #docker: Docker;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(docker: Docker) {
    this.#docker = docker;
  }

  async create({ name, options }: PodmanDisk, key: string): Promise<void> {
    await this.#docker.createVolume({
      Name: name,
      Driver: 'local',
      DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: options },
      Labels: { [DISK_LABEL]: key },
    });
  }

  /** Removes a disk, unless a container has it. */
  async remove(name: string): Promise<void> {
    const volume = this.#docker.getVolume(name);
    try {
      await volume.remove();
    } catch (error) {
      if (statusOf(error) === 404 || statusOf(error) === 409) return;
      // Of two removals at once, Podman 5.4 answers one with status 500 and "no such volume".
      if (!(await isMissing(volume.inspect()))) throw error;
    }
  }

  /** Sweeps in the background, from time to time. */
  sweepNowAndThen(): void {
    if (performance.now() - this.#sweptAt < SWEEP_EVERY_MS) return;
    this.#sweptAt = performance.now();
    this.sweep().catch(() => {});
  }

  /** Removes the disks of all sandboxes that are gone: one that ends by itself leaves its own, and nobody is told. */
  async sweep(): Promise<void> {
    const filters = { label: [DISK_LABEL] };
    const { Volumes } = (await this.#docker.listVolumes({ filters })) as Listed;
    const old = (Volumes ?? []).filter(({ CreatedAt = '' }) => Date.now() - Date.parse(CreatedAt) > FRESH_MS);
    if (old.length === 0) return;
    const containers = await listContainers(this.#docker, [DISK_LABEL]);
    const keys = new Set(containers.map(({ Labels }) => Labels[DISK_LABEL]));
    for (const { Name, Labels } of old) if (!keys.has(Labels?.[DISK_LABEL] ?? '')) await this.remove(Name);
  }
}

interface Listed {
  readonly Volumes?:
    | readonly {
        readonly Name: string;
        readonly CreatedAt?: string;
        readonly Labels?: Readonly<Record<string, string>> | null;
      }[]
    | null;
}
