import type Docker from 'dockerode';
import type { ContainerSpec } from '../hardening/spec.ts';

/** What differs between the engines that speak Docker's API. */
export interface ContainerDriver {
  readonly kind: 'docker' | 'podman';
  /** Name of the engine, for people. */
  readonly name: string;
  /** Whether the engine gives containers a user namespace. */
  readonly remapped: boolean;
  /**
   * Returns whether a user runs a process in a container, as seen by someone whom the user's code can neither end nor
   * deceive.
   * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
   */
  hasProcesses(container: Docker.Container, uid: number): Promise<boolean>;
  /** Creates the container of a sandbox with all its hardening, without starting it. */
  create(spec: ContainerSpec): Promise<Docker.Container>;
  /** Starts a container that {@link create} made. Code may run in it only after that. */
  start(container: Docker.Container): Promise<void>;
  /** Removes what belongs to a sandbox besides its container, which is gone. */
  discard(key: string): Promise<void>;
}
