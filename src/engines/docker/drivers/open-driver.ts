import type Docker from 'dockerode';
import type { Protection } from '../../../sandbox/assurances.ts';
import { isGvisor } from '../../hardening/sandbox-limits.ts';
import { askAgain } from '../answer.ts';
import { type EngineFacts, hasUserNamespaces, readFacts } from '../connect/check-engine.ts';
import { assertPodmanUsable, assertPodmanVersion, readPodmanVersion } from '../connect/podman.ts';
import { isOwnContainer } from '../host/container-advice.ts';
import { DockerDriver } from './docker.ts';
import type { ContainerDriver } from './driver.ts';
import { GvisorDriver } from './gvisor.ts';
import { PodmanDriver } from './podman.ts';

export interface DriverOptions {
  /** The engine's address, as a URL. */
  readonly address: string;
  /** Folder for files that the engine is to read. */
  readonly stateDir: string;
  /** The engine's OCI runtime; its own default if left out. */
  readonly runtime?: string;
  /** What the engine says of itself, if that is known. */
  readonly facts?: EngineFacts;
  /** Protections that sandboxes may lack. */
  readonly allowMissing?: readonly Protection[];
}

/**
 * Returns the driver for an engine, by what the engine says it is.
 * @throws GloveboxError `engine_unavailable` when its sandboxes could not be sealed
 */
export async function openDriver(
  docker: Docker,
  { address, stateDir, runtime, allowMissing = [], ...known }: DriverOptions,
): Promise<ContainerDriver> {
  const [version, facts] = await Promise.all([askAgain(() => docker.version()), known.facts ?? readFacts(docker)]);
  const remapped = hasUserNamespaces(facts);
  const podman = readPodmanVersion(version);
  if (podman === undefined) {
    const options = { name: version.Platform?.Name || undefined, remapped, allowMissing };
    return isGvisor(runtime) ? new GvisorDriver(docker, options) : new DockerDriver(docker, options);
  }
  assertPodmanVersion(podman, address);
  assertPodmanUsable({ address, facts, runtime, isInContainer: isOwnContainer(), allowMissing });
  const cgroupVersion = facts.CgroupVersion ?? '1';
  return new PodmanDriver(docker, { directory: stateDir, cgroupVersion, remapped, allowMissing });
}
