import { GloveboxError } from '../../../errors.ts';
import type { Protection } from '../../../sandbox/assurances.ts';
import { isGvisor } from '../../hardening/sandbox-limits.ts';
import type { EngineFacts } from './check-engine.ts';

/** The part of an engine's `/version` that tells what it is. */
export interface EngineVersion {
  readonly Components?: readonly { readonly Name?: string; readonly Version?: string }[];
}

/** Podman's version, by its own word. Undefined for any other engine. */
export function readPodmanVersion({ Components }: EngineVersion): string | undefined {
  return Components?.find(({ Name }) => Name === 'Podman Engine')?.Version;
}

/** @throws GloveboxError `engine_unavailable` for a version of Podman whose sandboxes could not be sealed */
export function assertPodmanVersion(version: string, address: string): void {
  if (Number.parseInt(version, 10) >= 5) return;
  throw new GloveboxError(
    'engine_unavailable',
    `The container engine at ${address} is Podman ${version}. Glovebox needs Podman 5 or newer: older ones give the disks of a sandbox no size.`,
    { hint: 'Upgrade to Podman 5 or newer, or set DOCKER_HOST to another engine.' },
  );
}

/** Whether this Podman limits nothing of a sandbox: without root on control groups of version 1, whatever it says. */
export function limitsNothing({ Rootless = false, CgroupVersion }: EngineFacts): boolean {
  return Rootless && CgroupVersion === '1';
}

export interface PodmanUse {
  readonly address: string;
  readonly facts: EngineFacts;
  readonly runtime?: string | undefined;
  /** Whether this control plane runs in a container. */
  readonly isInContainer?: boolean;
  /** Protections that sandboxes may lack. */
  readonly allowMissing?: readonly Protection[];
}

/**
 * Checks that a sandbox of this Podman would have its filter and its limits.
 * @throws GloveboxError `engine_unavailable` with the reason
 */
export function assertPodmanUsable({
  address,
  facts,
  runtime,
  isInContainer = false,
  allowMissing = [],
}: PodmanUse): void {
  const far = isInContainer ? 'sees no files of this container' : 'is on another machine, or behind a proxy';
  if (isInContainer || !/^unix:/.test(address)) {
    throw new GloveboxError('engine_unavailable', `Podman at ${address} ${far}.`, {
      hint: 'Podman reads the system call filter of a sandbox from a file on its own machine: run Glovebox there, outside of containers, and let DOCKER_HOST name its socket (unix:///run/podman/podman.sock).',
    });
  }
  const needsNoLimits = allowMissing.includes('memory') && allowMissing.includes('pids');
  if (limitsNothing(facts) && !needsNoLimits) {
    throw new GloveboxError(
      'engine_unavailable',
      `Podman at ${address} runs without root on a host with control groups of version 1: it limits neither memory nor processes there.`,
      { hint: 'Run Podman as root ("sudo systemctl enable --now podman.socket"), or use control groups of version 2.' },
    );
  }
  if (isGvisor(runtime)) {
    throw new GloveboxError('engine_unavailable', `GLOVEBOX_RUNTIME is "${runtime}", which works with Docker only.`, {
      hint: 'Leave out GLOVEBOX_RUNTIME, or set DOCKER_HOST to Docker.',
    });
  }
}
