import type { Times } from '../call-parts.ts';
import { proportionalParts } from '../use.ts';
import { KIND_NAMES, kindOf, type Recording, type Role, rolesBelow } from './kernel-samples.ts';

const ROLES: readonly Role[] = ['runner', 'supervisor', 'program'];
/** Modules that are named; the rest is one line. */
const MOST_MODULES = 16;
const MOST_CALLS = 12;

/** Milliseconds for one call, in columns. */
type Line = readonly [name: string, ...values: (number | string)[]];

/** Process ids of a sandbox, as this machine has them. */
export interface Processes {
  /** The container's first process. */
  readonly first: number;
  readonly runner: number;
  readonly parents: ReadonlyMap<number, number>;
}

/** Who spends it. */
export function renderTimes({ server, engine, relay, sandbox }: Times): string {
  return render([
    ['one print(1) over REST, ms of processor time', server + engine + relay + sandbox],
    ['server', server],
    ["engine's daemon", engine],
    ["engine's relay beside the container", relay],
    ['sandbox', sandbox],
  ]);
}

/** The server's share by module; what was sampled is made to add up to what was measured without a profiler. */
export function renderServer(modules: ReadonlyMap<string, number>, total: number): string {
  const sum = sumOf(modules.values());
  const scaled = [...modules].map(([name, ms]): [string, number] => [name, (ms / sum) * total]);
  const rest = sumOf(scaled.slice(MOST_MODULES).map(([, ms]) => ms));
  return render([
    ['server, by module', 'ms'],
    ...scaled.slice(0, MOST_MODULES),
    ...(rest > 0 ? [['others', rest] as Line] : []),
  ]);
}

/** The sandbox's share by process and by kind of work, in the same way. */
export function renderSandbox({ samples, parents }: Recording, runner: number, total: number): string {
  const roles = rolesBelow(runner, parents);
  const counts = new Map<string, number>();
  for (const sample of samples) {
    const role = roles.get(sample.pid);
    const key = `${role} ${kindOf(sample)}`;
    if (role) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const sum = sumOf(counts.values());
  const of = (role: Role, kind: string) => ((counts.get(`${role} ${kind}`) ?? 0) / sum) * total;
  const lines = KIND_NAMES.map((kind): [string, ...number[]] => {
    const each = ROLES.map((role) => of(role, kind));
    return [kind, ...each, sumOf(each)];
  }).sort(([, ...a], [, ...b]) => (b.at(-1) ?? 0) - (a.at(-1) ?? 0));
  const all = ROLES.map((role) => sumOf(KIND_NAMES.map((kind) => of(role, kind))));
  return render([['sandbox, by kind of work', ...ROLES, 'all'], ...lines, ['all', ...all, total]]);
}

/** How often for each call. */
export function renderCounts(events: ReadonlyMap<string, number>, calls: ReadonlyMap<string, number>): string {
  const sorted = [...calls].sort(([, a], [, b]) => b - a);
  const rest = sumOf(sorted.slice(MOST_CALLS).map(([, count]) => count));
  return render([
    ['sandbox, for each call', 'times'],
    ...[...events].map(([event, count]): Line => [event.replaceAll('-', ' '), count]),
    ...(calls.size > 0 ? [['system calls', sumOf(calls.values())] as Line] : []),
    ...sorted.slice(0, MOST_CALLS).map(([name, count]): Line => [`  ${name}`, count]),
    ...(rest > 0 ? [['  others', rest] as Line] : []),
  ]);
}

/** What an idle session takes in MiB, by process. */
export function renderIdle({ first, runner, parents }: Processes): string {
  const roles = rolesBelow(runner, parents);
  const lines = [...parents.keys()].flatMap((pid): [string, number, number, number][] => {
    const parts = proportionalParts(pid);
    if (!parts) return [];
    const name = roles.get(pid) ?? (pid === first ? "engine's init process" : 'process that holds the container open');
    return [[name, parts.own, parts.files, parts.own + parts.files]];
  });
  const sums = [1, 2, 3].map((column) => sumOf(lines.map((line) => Number(line[column]))));
  return render([['idle session, proportional set in MiB', 'anonymous', 'files', 'all'], ...lines, ['all', ...sums]]);
}

export function render(lines: readonly Line[]): string {
  const cells = lines.map((line) => line.map((cell) => (typeof cell === 'number' ? cell.toFixed(2) : cell)));
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  return cells
    .map((line) =>
      line.map((cell, at) => (at === 0 ? cell.padEnd(50) : cell.padStart(Math.max(10, widths[at] ?? 0)))).join('  '),
    )
    .join('\n');
}

function sumOf(values: Iterable<number>): number {
  return [...values].reduce((sum, value) => sum + value, 0);
}
