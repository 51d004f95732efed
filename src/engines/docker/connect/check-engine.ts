import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import type { Protection } from '../../../sandbox/assurances.ts';
import { askAgain } from '../answer.ts';
import { statusOf } from '../inspect.ts';

/** Settings that the engine must support. */
export interface EngineRequirements {
  readonly cpus: number;
  readonly runtime?: string;
  /** Protections that sandboxes may lack. */
  readonly allowMissing?: readonly Protection[];
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
 * Checks settings with which the engine could not start any sandbox, and that its sandboxes have limits.
 * @returns what the engine says of itself
 * @throws GloveboxError `engine_unavailable` with the setting and the values that the engine supports
 */
export async function checkEngine(
  docker: Dockerode,
  { cpus, runtime, allowMissing = [] }: EngineRequirements,
): Promise<EngineFacts> {
  const facts = await readFacts(docker);
  assertLimits(facts, allowMissing);
  const { NCPU: processors, Runtimes } = facts;
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
  if (runtime === undefined || UNLISTED_RUNTIME.test(runtime) || !runtimes || runtimes.includes(runtime)) {
    return facts;
  }
  throw new GloveboxError(
    'engine_unavailable',
    `GLOVEBOX_RUNTIME is "${runtime}", but the engine has only: ${runtimes.join(', ')}.`,
    {
      hint: `Install "${runtime}" and add it to the engine's daemon.json, or leave out GLOVEBOX_RUNTIME for the default.`,
    },
  );
}

/** Refuses an engine that takes limits and does not apply them: code could use up its machine. */
function assertLimits({ MemoryLimit, PidsLimit }: EngineFacts, allowed: readonly Protection[]): void {
  const missing = [
    ...(MemoryLimit === false && !allowed.includes('memory') ? ['memory'] : []),
    ...(PidsLimit === false && !allowed.includes('pids') ? ['processes'] : []),
  ];
  if (missing.length === 0) return;
  throw new GloveboxError(
    'engine_unavailable',
    `The container engine says that it cannot limit ${missing.join(' and ')} of a sandbox.`,
    {
      hint: 'A rootless engine can only with control groups of version 2: run the engine as root, or boot with systemd.unified_cgroup_hierarchy=1. Elsewhere, boot with cgroup_enable=memory.',
    },
  );
}

/** Whether containers have a user namespace: users are remapped, or the engine has no root. */
export function hasUserNamespaces({ SecurityOptions = [], Rootless = false }: EngineFacts): boolean {
  return Rootless || SecurityOptions.some((option) => /^name=(userns|rootless)\b/.test(option));
}

/** Reads the facts about an engine. Empty if a proxy in front of it refuses the call. */
export async function readFacts(docker: Dockerode): Promise<EngineFacts> {
  try {
    const facts: unknown = await askAgain(() => docker.info());
    // An empty body is none.
    return typeof facts === 'object' && facts !== null ? facts : {};
  } catch (error) {
    if (statusOf(error) === 403) return {};
    throw error;
  }
}
