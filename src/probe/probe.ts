import { GloveboxError } from '../errors.ts';
import type { Assurances, ExpectedSandbox, Shortfall, TriedAddress } from '../sandbox/assurances.ts';
import { largestDiskMb } from '../sandbox/disk-sizes.ts';
import type { SandboxProfile } from '../sandbox/engine.ts';
import { type Backend, startSandbox } from '../sandbox/start-sandbox.ts';
import { judge } from './judge.ts';
import { PROBE } from './program.ts';
import { type ProbeReport, parseProbeReport } from './report.ts';

const MIB = 2 ** 20;
/**
 * Most memory in MiB, and most processes, of the sandbox that is looked at. Both limits are met for real, which takes
 * time and memory of the machine. An engine that holds a small limit holds a large one.
 */
const MOST_MEMORY_MB = 256;
const MOST_PIDS = 64;
/** Memory in bytes, and processes, that are tried beyond the limit. */
const BEYOND = { memory: 128 * MIB, processes: 16 };
/**
 * Most processes that are tried where the limit stands above the sandbox: it is that of the engine, which is told. Its
 * processes share their memory.
 */
const MOST_PIDS_FROM_ABOVE = 4096;
/** Longest time for the program in milliseconds. It takes a second, and more on a busy machine. */
const LIMIT_MS = 30_000;
/** Most bytes of its output that are kept. */
const OUTPUT_LIMIT = 256 * 1024;
/** Number of times to try, as a busy machine may end a program. */
const ATTEMPTS = 2;

/** The sandbox that is looked at: as every other, but for sizes that would take long to reach. */
export function profileToProbe(profile: SandboxProfile): SandboxProfile {
  const memoryMb = Math.min(profile.memoryMb, MOST_MEMORY_MB);
  const diskMb = Math.min(profile.diskMb, largestDiskMb(memoryMb));
  return { ...profile, memoryMb, diskMb, pids: Math.min(profile.pids, MOST_PIDS) };
}

/**
 * Starts a sandbox as every other, looks at it from inside and outside, and removes it.
 * @returns what was asked for and is not there
 * @throws GloveboxError `engine_unavailable` when nothing can be seen
 */
export async function probeSandbox(
  backend: Backend,
  assurances: Assurances<SandboxProfile>,
  signal: AbortSignal,
): Promise<readonly Shortfall[]> {
  const profile = profileToProbe(backend.profile);
  const expected = assurances.expect(profile);
  // Nothing is loaded for it, and what it imports is no use of a session.
  const plain: Backend = { ...backend, profile, configuration: { preload: 'none' }, preloads: undefined };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await look(plain, assurances, expected, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Unseen || isLost(error))) throw error;
      backend.log.warn('the look into a first sandbox failed', { reason: error.message, attempt });
      if (attempt === ATTEMPTS) throw unseen(error);
    }
  }
}

async function look(
  backend: Backend,
  assurances: Assurances<SandboxProfile>,
  expected: ExpectedSandbox,
  signal: AbortSignal,
): Promise<readonly Shortfall[]> {
  const sandbox = await startSandbox(backend);
  try {
    const addresses = await assurances.addresses?.(sandbox.ref);
    const outside = assurances.inspect(sandbox.ref, backend.profile);
    const [report, told] = await Promise.all([run(sandbox, questions(expected, addresses), signal), outside]);
    return judge(report, { ...expected, ...(addresses ? { addresses } : {}) }, told);
  } finally {
    await sandbox.remove().catch(() => {});
  }
}

/** What the program is to look at. */
function questions(expected: ExpectedSandbox, addresses: readonly TriedAddress[] | undefined): string {
  const { sharesKernel, memoryBytes, pids, pidsFromAbove, disks, masked, rlimits, sharesUser } = expected;
  const mostPids = pidsFromAbove ? MOST_PIDS_FROM_ABOVE : pids;
  return JSON.stringify({
    filter: sharesKernel,
    memory: sharesKernel ? memoryBytes + BEYOND.memory : 0,
    processes: sharesKernel ? mostPids + BEYOND.processes : 0,
    disks: disks.map(({ path }) => path),
    fill: disks.filter(({ isFilled }) => isFilled).map(({ path }) => path),
    masked,
    rlimits: Object.keys(rlimits),
    same_user: sharesUser ?? false,
    addresses: addresses?.map(({ protocol, host, port }) => [protocol, host, port]) ?? null,
  });
}

async function run(
  sandbox: Pick<Awaited<ReturnType<typeof startSandbox>>, 'execute'>,
  stdin: string,
  signal: AbortSignal,
): Promise<ProbeReport> {
  const output: [stream: string, chunk: Buffer][] = [];
  let kept = 0;
  const end = await sandbox.execute(
    { code: PROBE, stdin },
    {
      timeoutMs: LIMIT_MS,
      signal,
      onOutput: (stream, chunk) => {
        kept += chunk.length;
        if (kept <= OUTPUT_LIMIT) output.push([stream, Buffer.from(chunk)]);
      },
    },
  );
  const textOf = (wanted: string) =>
    Buffer.concat(output.flatMap(([stream, chunk]) => (stream === wanted ? [chunk] : []))).toString();
  if (end.status !== 'ok') {
    const last = end.failure ?? textOf('stderr').trim().split('\n').at(-1) ?? '';
    throw new Unseen(`its program ended with status ${end.status}${last === '' ? '' : `: ${last.slice(0, 300)}`}`);
  }
  try {
    return parseProbeReport(textOf('stdout'));
  } catch (cause) {
    throw new Unseen('its program printed no report', { cause });
  }
}

/** The program did not say what it was to. */
class Unseen extends Error {}

/** Its runner did not start, or it ended: the image or the runtime may be no good. */
function isLost(error: unknown): error is GloveboxError {
  return error instanceof GloveboxError && error.code === 'sandbox_lost';
}

function unseen(cause: Error): GloveboxError {
  return new GloveboxError(
    'engine_unavailable',
    `What holds in a sandbox of this engine cannot be seen: ${cause.message.replace(/\.$/, '')}.`,
    {
      hint: 'No code runs in sandboxes that nobody has looked into. Look at the image and the runtime (GLOVEBOX_IMAGE, GLOVEBOX_RUNTIME). "glovebox doctor" looks again: try it when the machine is less busy, or with another engine.',
      cause,
    },
  );
}
