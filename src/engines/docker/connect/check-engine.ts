import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { statusOf } from '../inspect.ts';

/** Settings that the engine must support. */
export interface EngineRequirements {
  readonly cpus: number;
  readonly runtime?: string;
}

/** Facts about an engine and its machine. Each may be missing. */
export interface EngineFacts {
  readonly NCPU?: number;
  readonly Driver?: string;
  readonly CgroupVersion?: string;
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly MemoryLimit?: boolean;
  readonly PidsLimit?: boolean;
  readonly CpuCfsQuota?: boolean;
  readonly SwapLimit?: boolean;
  /** For example `name=userns` with remapped users. */
  readonly SecurityOptions?: readonly string[];
  /** Podman alone says this. */
  readonly Rootless?: boolean;
}

/** Pattern of runtimes that engines do not list: shims of containerd, and paths of binaries. */
const UNLISTED_RUNTIME = /^io\.containerd\.|\//;

/**
 * Checks settings with which the engine could not start any sandbox.
 * @throws GloveboxError `engine_unavailable` with the setting and the values that the engine supports
 */
export async function checkEngine(docker: Dockerode, { cpus, runtime }: EngineRequirements): Promise<void> {
  const { NCPU: processors, Runtimes } = await readFacts(docker);
  const runtimes = Runtimes && Object.keys(Runtimes);
  if (processors !== undefined && cpus > processors) {
    throw new GloveboxError(
      'engine_unavailable',
      `GLOVEBOX_CPUS is ${cpus}, but the engine supports 0.01 to ${processors}.`,
      {
        hint: `The machine of the engine has ${processors} processors. Lower GLOVEBOX_CPUS, or leave it out for the default.`,
      },
    );
  }
  if (runtime === undefined || UNLISTED_RUNTIME.test(runtime) || !runtimes || runtimes.includes(runtime)) return;
  throw new GloveboxError(
    'engine_unavailable',
    `GLOVEBOX_RUNTIME is "${runtime}", but the engine has only: ${runtimes.join(', ')}.`,
    {
      hint: `Install "${runtime}" and add it to the engine's daemon.json, or leave out GLOVEBOX_RUNTIME for the default.`,
    },
  );
}

/** Reads the facts about an engine. Empty if a proxy in front of it refuses the call. */
export async function readFacts(docker: Dockerode): Promise<EngineFacts> {
  try {
    return (await docker.info()) as EngineFacts;
  } catch (error) {
    if (statusOf(error) === 403) return {};
    throw error;
  }
}
