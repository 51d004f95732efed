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
/** Of the other build's proportional set. */
const TARGET_OF_OTHER = 1;

const KINDS = ['plain', 'context'] as const;

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
  const { builds } = setting;
  const kernel = await useOfKernel(setting);
  const servers: Pick<Found, 'resident' | 'growth'>[] = [];
  for (const build of builds) servers.push(await openSessions(build, setting));
  // When those of all builds live: the more containers map a library, the smaller the part of each.
  const rows: Row[][] = [];
  for (const [at, { stateDir }] of builds.entries()) {
    const [plain, contexts] = [await usesOf(stateDir, 'plain', setting), await usesOf(stateDir, 'context', setting)];
    rows.push(toRows({ plain, contexts, resident: [], growth: [], ...servers[at] }, kernel));
  }
  for (const { server } of builds) {
    for (const name of KINDS.flatMap(namesOf)) await closeSession(server.url, name);
  }
  // Where the engine is elsewhere, its processes cannot be looked at.
  return [toRow('idle Jupyter kernel: proportional set', 'MiB', kernel), ...joinRows(rows)].filter(
    ({ samples }) => samples.length > 0,
  );
}

/** Opens all sessions of a build; what its control plane takes with those without a context. */
async function openSessions({ server }: Build, { signal }: Setting): Promise<Pick<Found, 'resident' | 'growth'>> {
  const { print } = openRest(server.url);
  const settle = async () => {
    await server.settled();
    await sleep(SETTLE_MS, undefined, { signal });
  };
  await server.settled();
  const before = residentOf(server.pid);
  for (const name of namesOf('plain')) await print(name);
  await settle();
  const after = residentOf(server.pid);
  for (const name of namesOf('context')) {
    check(await post(server.url, { code: CODE, session_id: name, context: 'main' }));
  }
  await settle();
  const resident = after === undefined ? [] : [after];
  const growth = after === undefined || before === undefined ? [] : [(after - before) / SESSIONS];
  return { resident, growth };
}

async function usesOf(stateDir: string, kind: (typeof KINDS)[number], { docker }: Setting): Promise<Use[]> {
  const uses: Use[] = [];
  for (const name of namesOf(kind)) uses.push(await useOf(docker, stateDir, name));
  return uses;
}

function namesOf(kind: (typeof KINDS)[number]): string[] {
  return Array.from({ length: SESSIONS }, (_, index) => `memory-${kind}-${index}`);
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
    {
      ...toRow('idle session: proportional set of its processes', 'MiB', known(plain, 'processes'), floors),
      ofTargets: TARGET_OF_OTHER,
    },
    toRow('idle session with a context: proportional set', 'MiB', known(contexts, 'processes'), floors),
    toRow("idle session: engine's own process beside it", 'MiB', known(plain, 'keeper')),
    toRow('control plane: resident', 'MiB', resident),
    toRow('control plane: growth for each session', 'MiB', growth),
  ];
}
