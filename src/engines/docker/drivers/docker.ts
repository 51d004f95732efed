import type Docker from 'dockerode';
import { type ContainerSpec, containerOptions, PROCESS_COLUMNS } from '../hardening/spec.ts';
import type { ContainerDriver } from './driver.ts';

/** Sandboxes of Docker. */
export class DockerDriver implements ContainerDriver {
  readonly name: string;
  readonly processColumns = PROCESS_COLUMNS;
  readonly #docker: Docker;

  constructor(docker: Docker, name = 'Docker Engine') {
    this.#docker = docker;
    this.name = name;
  }

  async create(spec: ContainerSpec): Promise<Docker.Container> {
    return await this.#docker.createContainer(containerOptions(spec));
  }

  async start(container: Docker.Container): Promise<void> {
    await container.start();
  }

  /** Everything of a sandbox is in its container. */
  async discard(): Promise<void> {}
}
