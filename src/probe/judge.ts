import type { ExpectedDisk, ExpectedSandbox, Protection, Shortfall, TriedAddress } from '../sandbox/assurances.ts';
import { judgeCpu, judgeGroupEnd, judgeMemory, judgePids, judgeSwap } from './judge-limits.ts';
import { judgeMainProcess } from './judge-main-process.ts';
import { judgeNetwork } from './judge-network.ts';
import { listed } from './listed.ts';
import type { ProbeReport } from './report.ts';

/** Mode in `/proc/PID/status` of a process with a system call filter. */
const FILTERED = '2';
/** Errors with which a filter refuses a call. An older libseccomp says ENOSYS for calls that it does not know. */
const REFUSALS: readonly string[] = ['EPERM', 'ENOSYS'];
/** Mode of a folder that is closed to all but its user. */
const PRIVATE_MODE = 0o700;
/** Name servers that are none: nothing listens there. */
const LOOPBACK = /^(127\.|::1$)/;

/** What is expected of the sandbox that was looked at. */
interface Expected extends ExpectedSandbox {
  /** Addresses that code may not reach. Unset where there may be no interface but `lo`. */
  readonly addresses?: readonly TriedAddress[];
}

/** One question to a report: undefined if all is as expected, else what was found instead. */
type Check = (report: ProbeReport, expected: Expected) => string | undefined;

const CHECKS: readonly (readonly [name: Protection, check: Check])[] = [
  ['user', judgeUser],
  ['capabilities', judgeCapabilities],
  ['privileges', (report) => (report.no_new_privileges ? undefined : 'a program may gain privileges')],
  ['seccomp', judgeFilter],
  ['memory', judgeMemory],
  ['swap', judgeSwap],
  ['pids', judgePids],
  ['cpu', judgeCpu],
  ['disks', judgeDisks],
  ['inodes', judgeInodes],
  ['writable', ({ writable }) => listed('can be written', writable)],
  ['masks', ({ shown }) => listed('can be read', shown)],
  ['network', judgeNetwork],
  [
    'resolver',
    (report) =>
      listed(
        'are asked for names',
        report.name_servers.filter((at) => !LOOPBACK.test(at)),
      ),
  ],
  ['rlimits', judgeRlimits],
  ['oom', judgeOomScore],
  ['oom-group', judgeGroupEnd],
  ['main-process', judgeMainProcess],
];

/**
 * Compares what a probe found with what was asked for. What is not seen does not hold.
 * @param outside differences that the engine itself tells
 */
export function judge(report: ProbeReport, expected: Expected, outside: readonly Shortfall[]): readonly Shortfall[] {
  const inside = CHECKS.flatMap(([name, check]): Shortfall[] => {
    const found = check(report, expected);
    return found === undefined ? [] : [{ name, found }];
  });
  const told = new Set(inside.map(({ name }) => name));
  // An engine whose machine has no swap, or no more processors, may leave out these limits.
  const idle = new Set<Protection>([...(report.swap_kib === 0 ? (['swap'] as const) : [])]);
  if (expected.cpus >= report.processors) idle.add('cpu');
  return [...inside, ...outside.filter(({ name }) => !told.has(name) && !idle.has(name))];
}

function judgeUser({ users }: ProbeReport, { uids }: ExpectedSandbox): string | undefined {
  const ids = [...new Set(users)];
  const [id] = ids;
  if (ids.length === 1 && id !== undefined && id >= uids.first && id <= uids.last) return undefined;
  return `code has the users and groups ${ids.join(', ')}`;
}

function judgeCapabilities({ capabilities }: ProbeReport): string | undefined {
  const sets = Object.entries(capabilities);
  if (sets.length === 0) return 'the kernel does not tell them';
  const held = sets.filter(([, bits]) => !/^0+$/.test(bits));
  return held.length === 0 ? undefined : held.map(([name, bits]) => `${name} is ${bits}`).join(', ');
}

function judgeFilter(
  { seccomp, calls }: ProbeReport,
  { sharesKernel, refusedCalls }: ExpectedSandbox,
): string | undefined {
  if (!sharesKernel) return undefined;
  if (seccomp !== FILTERED) return `there is no system call filter (mode ${seccomp ?? 'unknown'})`;
  const allowed = refusedCalls
    .filter((name) => !REFUSALS.includes(calls[name] ?? ''))
    .map((name) => `${name} (${calls[name] || '?'})`);
  return listed('are not refused', allowed);
}

function judgeDisks(report: ProbeReport, expected: ExpectedSandbox): string | undefined {
  const { disks } = report;
  return each(expected.disks, ({ path, bytes, private: isPrivate }) => {
    const disk = disks[path];
    if (!disk?.writable) return `${path} cannot be written`;
    // A file system without a size says 0.
    if (disk.bytes === 0 || disk.bytes > bytes) return `${path} has ${disk.bytes} bytes, not ${bytes}`;
    const full = report.full[path];
    if (full !== undefined && full !== 'ENOSPC') return `${path} took more than it has (${full})`;
    return isPrivate && disk.mode !== PRIVATE_MODE ? `${path} has the mode ${disk.mode.toString(8)}` : undefined;
  });
}

function judgeInodes({ disks }: ProbeReport, expected: ExpectedSandbox): string | undefined {
  return each(expected.disks, ({ path, inodes }) => {
    const found = disks[path]?.inodes;
    if (inodes === undefined || (found !== undefined && found > 0 && found <= inodes)) return undefined;
    return `${path} takes ${found ? `${found} files, not ${inodes}` : 'any number of files'}`;
  });
}

function each(disks: readonly ExpectedDisk[], check: (disk: ExpectedDisk) => string | undefined): string | undefined {
  return disks.map(check).find((found) => found !== undefined);
}

function judgeRlimits({ rlimits }: ProbeReport, expected: ExpectedSandbox): string | undefined {
  const loose = Object.entries(expected.rlimits).filter(([name, most]) => {
    const found = rlimits[name];
    // Negative is no limit.
    return found === undefined || found < 0 || found > most;
  });
  return loose.length === 0
    ? undefined
    : loose.map(([name, most]) => `${name} is ${rlimits[name] ?? 'unknown'}, not ${most}`).join(', ');
}

/**
 * When the machine runs out of memory, its kernel ends the process with the highest score. Below 0, code would be spared
 * before all that has no score of its own, and so would be what fills a sandbox, before its main process.
 */
function judgeOomScore({ oom_score }: ProbeReport, { sharesKernel }: ExpectedSandbox): string | undefined {
  if (!sharesKernel || (oom_score !== null && oom_score >= 0)) return undefined;
  if (oom_score === null) return 'the kernel does not tell its score';
  return `code can have the kernel end others first when memory runs out (oom_score_adj ${oom_score})`;
}
