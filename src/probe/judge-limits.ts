import type { ExpectedSandbox } from '../sandbox/assurances.ts';
import type { ProbeReport } from './report.ts';

const MIB = 2 ** 20;
/** Part by which a quota of processor time may exceed what was asked for, as engines round it. */
const ROUNDING = 1.01;

/**
 * The memory limit is met for real, as the files of control groups tell what was written there, not what the kernel does.
 * With a kernel of its own, a sandbox would be lost, and the engine's word is taken.
 */
export function judgeMemory(
  { limits, taking, swap_kib }: ProbeReport,
  { memoryBytes, sharesKernel }: ExpectedSandbox,
): string | undefined {
  if (!sharesKernel) return undefined;
  const isSet = isAtMost(limits.memory, memoryBytes);
  if (!isSet) return `the limit is ${limits.memory ?? 'unknown'}, not ${memoryBytes} bytes`;
  // The report would be lost with the sandbox, so the kernel's word is taken.
  if (endsAll(limits) && taking === null) return undefined;
  if (taking === null) return 'it was not tried';
  if (taking.ended && taking.taken <= memoryBytes) return undefined;
  // What is beyond the limit went to the swap, which has a limit of its own.
  return swap_kib > 0 ? undefined : `${Math.floor(taking.taken / MIB)} MiB could be taken, of ${memoryBytes / MIB}`;
}

/** Without swap on the machine, memory is all that there is. */
export function judgeSwap(
  { limits, swap_kib, taking }: ProbeReport,
  { memoryBytes, sharesKernel }: ExpectedSandbox,
): string | undefined {
  if (!sharesKernel || swap_kib === 0) return undefined;
  const isLimited = isAtMost(limits.swap, 0) || isAtMost(limits.memory_and_swap, memoryBytes);
  const isMet = endsAll(limits) || (taking?.ended === true && taking.taken <= memoryBytes);
  return isLimited && isMet ? undefined : 'a sandbox may use swap of its machine besides its memory';
}

/** It is met for real, too, but not with a kernel of its own: many processes that end at once may end such a sandbox. */
export function judgePids(
  { limits, flood }: ProbeReport,
  { pids, pidsFromAbove, sharesKernel }: ExpectedSandbox,
): string | undefined {
  if (!pidsFromAbove && !isAtMost(limits.pids, pids)) return `the limit is ${limits.pids ?? 'unknown'}, not ${pids}`;
  if (!sharesKernel) return pidsFromAbove ? 'it can neither be read nor be met there' : undefined;
  if (flood === null) return 'it was not tried';
  if (flood.refused === null) return `${flood.started} processes could be started, and more were not tried`;
  return flood.started < pids ? undefined : `${flood.started} processes could be started, not ${pids}`;
}

/** When memory runs out, one process is to end, not all of a sandbox. A kernel of its own ends as it likes. */
export function judgeGroupEnd({ limits }: ProbeReport, { sharesKernel }: ExpectedSandbox): string | undefined {
  if (!sharesKernel || !endsAll(limits)) return undefined;
  return 'when its memory runs out, all of a sandbox ends (memory.oom.group is 1)';
}

function endsAll({ group_end }: ProbeReport['limits']): boolean {
  return group_end === '1';
}

/** A limit of no fewer processors than the machine has needs no enforcement. */
export function judgeCpu(
  { limits, processors }: ProbeReport,
  { cpus, sharesKernel }: ExpectedSandbox,
): string | undefined {
  if (!sharesKernel || cpus >= processors) return undefined;
  const [quota = Number.NaN, period = Number.NaN] = limits.cpu?.split(/\s+/).map(Number) ?? [];
  if (quota > 0 && quota / period <= cpus * ROUNDING) return undefined;
  return `the limit is ${limits.cpu ?? 'unknown'}, for ${cpus} processors`;
}

/** Whether the text of a limit is a number up to `most`. `max` and an empty file are none. */
function isAtMost(text: string | null, most: number): boolean {
  return text !== null && /^\d+$/.test(text) && Number(text) <= most;
}
