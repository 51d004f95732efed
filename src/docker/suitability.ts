import type Dockerode from 'dockerode';
import { GloveboxError } from '../errors.ts';
import { statusOf } from './inspect.ts';

export interface Wishes {
  readonly cpus: number;
  readonly runtime?: string;
}

/** Names that newer engines resolve themselves: shims of containerd, and paths of binaries. */
const UNLISTED_RUNTIME = /^io\.containerd\.|\//;

/**
 * Refuses at the start what the engine would refuse at every start of a sandbox.
 * @throws GloveboxError `engine_unavailable` that names the setting and what this engine takes.
 */
export async function checkSuitability(docker: Dockerode, { cpus, runtime }: Wishes): Promise<void> {
  const { processors, runtimes } = await readAbilities(docker);
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

/** Nothing where a proxy before the engine keeps it to itself. */
async function readAbilities(docker: Dockerode): Promise<{ processors?: number; runtimes?: string[] }> {
  try {
    const { NCPU, Runtimes } = (await docker.info()) as { NCPU?: number; Runtimes?: Record<string, unknown> };
    return { ...(NCPU ? { processors: NCPU } : {}), ...(Runtimes ? { runtimes: Object.keys(Runtimes) } : {}) };
  } catch (error) {
    if (statusOf(error) === 403) return {};
    throw error;
  }
}
