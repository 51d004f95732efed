import { setTimeout as sleep } from 'node:timers/promises';
import type { Build } from './against/build.ts';
import { joinRows } from './against/pair.ts';
import { check, closeSession, openRest, post } from './doors.ts';
import { median } from './measure.ts';
import { CODE } from './programs.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';
import { proportionalOf, residentOf, type Use, useOf } from './use.ts';

const SESSIONS = 5;
const SETTLE_MS = 1500;
const TARGET_MIB = 12;

interface Found {
  readonly plain: readonly Use[];
  /** Of sessions with a context. */
  readonly contexts: readonly Use[];
  /** Of the control plane. */
  readonly resident: readonly number[];
  readonly growth: readonly number[];
}

/** What a session takes that has run something and now waits, beside a Jupyter kernel that does the same. */
export async function measureMemory(setting: Setting): Promise<Row[]> {
  const kernel = await useOfKernel(setting);
  const found: Row[][] = [];
  for (const build of setting.builds) found.push(toRows(await measureBuild(build, setting), kernel));
  const rows = [toRow('idle Jupyter kernel: proportional set', 'MiB', kernel), ...joinRows(found)];
  // Where the engine is elsewhere, its processes cannot be looked at.
  return rows.filter(({ samples }) => samples.length > 0);
}

async function measureBuild({ server, stateDir }: Build, { docker, signal }: Setting): Promise<Found> {
  const { print } = openRest(server.url);
  const namesOf = (kind: string) => Array.from({ length: SESSIONS }, (_, index) => `memory-${kind}-${index}`);
  const usesOf = async (names: readonly string[]) => {
    const uses: Use[] = [];
    for (const name of names) uses.push(await useOf(docker, stateDir, name));
    return uses;
  };
  await server.settled();
  const before = residentOf(server.pid);
  for (const name of namesOf('plain')) await print(name);
  await server.settled();
  await sleep(SETTLE_MS, undefined, { signal });
  const after = residentOf(server.pid);
  for (const name of namesOf('context')) {
    check(await post(server.url, { code: CODE, session_id: name, context: 'main' }));
  }
  await server.settled();
  await sleep(SETTLE_MS, undefined, { signal });
  const [plain, contexts] = [await usesOf(namesOf('plain')), await usesOf(namesOf('context'))];
  for (const name of [...namesOf('plain'), ...namesOf('context')]) await closeSession(server.url, name);
  const resident = after === undefined ? [] : [after];
  const growth = after === undefined || before === undefined ? [] : [(after - before) / SESSIONS];
  return { plain, contexts, resident, growth };
}

/** One sample if any. */
async function useOfKernel({ jupyter, signal }: Setting): Promise<number[]> {
  const openJupyter = await jupyter();
  if (!openJupyter) return [];
  await using driver = openJupyter();
  const pid = await driver.start();
  await sleep(SETTLE_MS, undefined, { signal });
  const use = proportionalOf(pid);
  return use === undefined ? [] : [use];
}

function toRows({ plain, contexts, resident, growth }: Found, kernel: readonly number[]): Row[] {
  const known = (uses: readonly Use[], key: keyof Use) =>
    uses.map((use) => use[key]).filter((mib) => mib !== undefined);
  const floors = kernel.length === 0 ? [] : [{ floor: 'Jupyter kernel', of: median(kernel) }];
  return [
    { ...toRow('idle session: memory of its container', 'MiB', known(plain, 'group')), atMost: TARGET_MIB },
    toRow('idle session: proportional set of its processes', 'MiB', known(plain, 'processes'), floors),
    toRow('idle session with a context: proportional set', 'MiB', known(contexts, 'processes'), floors),
    toRow("idle session: engine's own process beside it", 'MiB', known(plain, 'keeper')),
    toRow('control plane: resident', 'MiB', resident),
    toRow('control plane: growth for each session', 'MiB', growth),
  ];
}
