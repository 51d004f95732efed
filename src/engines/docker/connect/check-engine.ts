import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { statusOf } from '../inspect.ts';

export interface Wishes {
  readonly cpus: number;
  readonly runtime?: string;
}

/** What an engine says of itself and its machine; it may leave out any of it. */
export interface EngineFacts {
  readonly NCPU?: number;
  readonly Driver?: string;
  readonly CgroupVersion?: string;
  readonly Runtimes?: Readonly<Record<string, unknown>>;
  readonly MemoryLimit?: boolean;
  readonly PidsLimit?: boolean;
  readonly CpuCfsQuota?: boolean;
  readonly SwapLimit?: boolean;
}

/** Names that newer engines resolve themselves: shims of containerd, and paths of binaries. */
const UNLISTED_RUNTIME = /^io\.containerd\.|\//;

/**
 * Refuses at the start what the engine would refuse at every start of a sandbox.
 * @throws GloveboxError `engine_unavailable` that names the setting and what this engine takes.
 */
export async function checkEngine(docker: Dockerode, { cpus, runtime }: Wishes): Promise<void> {
  const { NCPU: processors, Runtimes } = await readFacts(docker);
  const runtimes = Runtimes && Object.keys(Runtimes);
  if (processors !== undefined && cpus > processors) {
    throw new GloveboxError('engine_unavailable', `GLOVEBOX_CPUS is ${cpus}: the engine takes 0.01 to ${processors}.`, {
      hint: `The engine's machine has ${processors} processors: lower GLOVEBOX_CPUS, or leave it out for the default.`,
    });
  }
  if (runtime === undefined || UNLISTED_RUNTIME.test(runtime) || !runtimes || runtimes.includes(runtime)) return;
  throw new GloveboxError(
    'engine_unavailable',
    `GLOVEBOX_RUNTIME is "${runtime}": the engine knows ${runtimes.join(', ')}.`,
    {
      hint: `Install "${runtime}" and name it to the engine (its daemon.json), or leave GLOVEBOX_RUNTIME out for the engine's own.`,
    },
  );
}

/** Empty where a proxy before the engine keeps it to itself. */
export async function readFacts(docker: Dockerode): Promise<EngineFacts> {
  try {
    return (await docker.info()) as EngineFacts;
  } catch (error) {
    if (statusOf(error) === 403) return {};
    throw error;
  }
}
