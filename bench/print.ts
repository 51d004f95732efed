import { type Build, settleAll } from './against/build.ts';
import { pairRows, pairSubjects } from './against/pair.ts';
import { type Door, openMcpHttp, openRest, openStdio } from './doors.ts';
import { interleave, interleaveBlocks, median, type Samples, type Subject } from './measure.ts';
import { assertOutput, CODE, run } from './programs.ts';
import type { Setting } from './setting.ts';
import { type Comparison, type Row, toRow } from './table.ts';

const BARE = `local python3 -c '${CODE}'`;
const EXEC = `engine's exec of python3 -c '${CODE}'`;
const JUDGED = 'MCP HTTP, 2026-07-28';
const DOORS = ['REST', JUDGED, 'MCP HTTP, sessions of before', 'MCP stdio'];
const BACK_TO_BACK = `${JUDGED}, without a pause`;
/** Calls without a pause before the other build has its turn. */
const BLOCK = 10;
/** Calls by one door after which there is little left for the engine of JavaScript to compile. */
const COMPILED_AFTER = 400;
/** Of the bare interpreter, by the way in. */
const TARGETS: Readonly<Record<string, number>> = { REST: 0.3, [JUDGED]: 0.35 };
/** Of the engine's exec: what a call over MCP HTTP may take at most. */
const TARGET_OF_EXEC = 1 / 15;
/** Of a call over REST by the other build. */
const TARGET_OF_OTHER = 0.65;

/** `print(1)` in an open session by every way in, against the interpreter alone and the engine alone. */
export async function measurePrints(setting: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const { builds, quick, signal } = setting;
  const doors = await pairSubjects(builds, async (build) => (await openDoors(build, stack)).map(toSubject));
  // Each has a session of its own, which the first call opens; after so many, client and server are compiled.
  for (const door of doors) await repeat(quick ? 50 : COMPILED_AFTER, () => door.run());
  await settleAll(builds.map(({ server }) => server));
  const floors = await createFloorSubjects(setting, stack);
  const plan = { rounds: quick ? 30 : 150, warmUp: quick ? 10 : 30, signal };
  const samples = await interleave(alternate(floors, doors), plan);
  const judged = doors.filter(({ name }) => name.startsWith(JUDGED));
  const alone = judged.map(({ name, run: print }) => ({ name: name.replace(JUDGED, BACK_TO_BACK), run: print }));
  Object.assign(samples, await interleaveBlocks(alone, { ...plan, warmUp: 1 }, BLOCK));
  return pairRows(samples, toRows);
}

async function openDoors({ server, cli, flags }: Build, stack: AsyncDisposableStack): Promise<Door[]> {
  const modern = stack.use(await openMcpHttp(server.url, 'modern'));
  const legacy = stack.use(await openMcpHttp(server.url, 'legacy'));
  const stdio = stack.use(await openStdio(cli, [...flags, '--pool-size', '0']));
  return [openRest(server.url), modern, legacy, stdio];
}

function toSubject({ name, print }: Door): Subject {
  return { name, run: () => print() };
}

/** A floor before each door, so that no door's call comes right after another's. */
function alternate([bare, exec]: readonly [Subject, Subject], doors: readonly Subject[]): Subject[] {
  return [...doors.flatMap((door) => [bare, door]), exec];
}

async function repeat(times: number, work: () => Promise<unknown>): Promise<void> {
  for (let time = 1; time <= times; time += 1) await work();
}

async function createFloorSubjects(setting: Setting, stack: AsyncDisposableStack): Promise<[Subject, Subject]> {
  const { floors, python } = setting;
  const container = await floors.createAndStart();
  stack.defer(() => container.remove({ force: true }));
  const bare = async () => assertOutput(await run(python, ['-c', CODE]), python);
  return [
    { name: BARE, run: bare },
    { name: EXEC, run: () => floors.execPrint(container) },
  ];
}

function toRows(samples: Samples): Row[] {
  const of = (name: string) => samples[name] ?? [];
  const compare = (name: string): Comparison[] => {
    const target = TARGETS[name];
    return [
      { floor: 'local python3', of: median(of(BARE)), ...(target === undefined ? {} : { target }) },
      { floor: "engine's exec", of: median(of(EXEC)), ...(name === JUDGED ? { target: TARGET_OF_EXEC } : {}) },
    ];
  };
  return [
    toRow(BARE, 'ms', of(BARE)),
    toRow(EXEC, 'ms', of(EXEC)),
    ...[...DOORS, BACK_TO_BACK].map((name) => ({
      ...toRow(`print(1): ${name}`, 'ms', of(name), compare(name)),
      ...(name === 'REST' ? { ofTargets: TARGET_OF_OTHER } : {}),
    })),
  ];
}
