import type { ExpectedDisk, ExpectedSandbox, Protection, Shortfall } from '../sandbox/assurances.ts';
import { judgeCpu, judgeMemory, judgePids, judgeSwap } from './judge-limits.ts';
import type { ProbeReport } from './report.ts';

/** Mode in `/proc/PID/status` of a process with a system call filter. */
const FILTERED = '2';
/** Errors with which a filter refuses a call. An older libseccomp says ENOSYS for calls that it does not know. */
const REFUSALS: readonly string[] = ['EPERM', 'ENOSYS'];
/** Mode of a folder that is closed to all but its user. */
const PRIVATE_MODE = 0o700;
/** Name servers that are none: nothing listens there. */
const LOOPBACK = /^(127\.|::1$)/;

/** One question to a report: undefined if all is as expected, else what was found instead. */
type Check = (report: ProbeReport, expected: ExpectedSandbox) => string | undefined;

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
  ['main-process', judgeMainProcess],
];

/**
 * Compares what a probe found with what was asked for. What is not seen does not hold.
 * @param outside differences that the engine itself tells
 */
export function judge(
  report: ProbeReport,
  expected: ExpectedSandbox,
  outside: readonly Shortfall[],
): readonly Shortfall[] {
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

function judgeFilter({ seccomp, calls }: ProbeReport, { sharesKernel }: ExpectedSandbox): string | undefined {
  if (!sharesKernel) return undefined;
  if (seccomp !== FILTERED) return `there is no system call filter (mode ${seccomp ?? 'unknown'})`;
  const entries = Object.entries(calls);
  if (entries.length === 0) return 'no call was tried';
  const allowed = entries.filter(([, end]) => !REFUSALS.includes(end)).map(([name, end]) => `${name} (${end || '?'})`);
  return listed('are not refused', allowed);
}

function judgeDisks({ disks }: ProbeReport, expected: ExpectedSandbox): string | undefined {
  return each(expected.disks, ({ path, bytes, private: isPrivate }) => {
    const disk = disks[path];
    if (!disk?.writable) return `${path} cannot be written`;
    // A file system without a size says 0.
    if (disk.bytes === 0 || disk.bytes > bytes) return `${path} has ${disk.bytes} bytes, not ${bytes}`;
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

function judgeNetwork({ interfaces, routes }: ProbeReport): string | undefined {
  const others = interfaces.filter((name) => name !== 'lo');
  if (!interfaces.includes('lo')) return 'its interfaces cannot be seen';
  return listed('are interfaces that are up', others) ?? listed('are ways out', routes);
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

/** A kernel of its own may show the variables of the main process, of which none is a secret. */
function judgeMainProcess({ others }: ProbeReport, { sharesKernel }: ExpectedSandbox): string | undefined {
  const isShown = (what: string) => !sharesKernel && what === 'environ';
  const reached = others.filter(({ done }) => !done.every(isShown));
  if (others.length === 0) return 'the main process cannot be seen, or has the user of the code';
  return listed(
    'are in reach',
    reached.map(({ process, done }) => `process ${process} (${done.join(', ')})`),
  );
}

function listed(what: string, items: readonly string[]): string | undefined {
  return items.length === 0 ? undefined : `${items.slice(0, 5).join(', ')} ${what}`;
}
