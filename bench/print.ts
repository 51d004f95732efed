import { type Door, openMcpHttp, openRest, openStdio } from './doors.ts';
import { interleave, median, type Samples, type Subject } from './measure.ts';
import { assertOutput, CODE, run } from './programs.ts';
import type { Setting } from './setting.ts';
import { type Comparison, type Row, toRow } from './table.ts';

const BARE = `local python3 -c '${CODE}'`;
const EXEC = `engine's exec of python3 -c '${CODE}'`;
const BACK_TO_BACK = 'MCP HTTP, 2026-07-28, without a pause';
/** Calls by one door after which there is little left for the engine of JavaScript to compile. */
const COMPILED_AFTER = 400;
/** Of the bare interpreter and of the engine's exec: what a call over MCP HTTP may take at most. */
const TARGETS = { bare: 0.5, exec: 1 / 15 };

/** `print(1)` in an open session by every way in, against the interpreter alone and the engine alone. */
export async function measurePrints(setting: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const { url } = setting.server;
  const modern = stack.use(await openMcpHttp(url, 'modern'));
  const legacy = stack.use(await openMcpHttp(url, 'legacy'));
  const stdio = stack.use(await openStdio([...setting.flags, '--pool-size', '0']));
  const doors = [openRest(url), modern, legacy, stdio];
  // Each has a session of its own, which the first call opens; after so many, client and server are compiled.
  for (const door of doors) await repeat(setting.quick ? 50 : COMPILED_AFTER, () => door.print());
  await setting.server.settled();
  const floors = await createFloorSubjects(setting, stack);
  const rounds = setting.quick ? 30 : 150;
  const plan = { rounds, warmUp: setting.quick ? 10 : 30, signal: setting.signal };
  const samples = await interleave(alternate(floors, doors), plan);
  const alone: Subject = { name: BACK_TO_BACK, run: () => modern.print() };
  Object.assign(samples, await interleave([alone], { ...plan, warmUp: 0 }));
  return toRows(
    samples,
    doors.map(({ name }) => name),
    modern.name,
  );
}

/** A floor before each door, so that no door's call comes right after another's. */
function alternate([bare, exec]: readonly [Subject, Subject], doors: readonly Door[]): Subject[] {
  return [...doors.map(({ name, print }) => ({ name, run: () => print() })).flatMap((door) => [bare, door]), exec];
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

function toRows(samples: Samples, doors: readonly string[], judged: string): Row[] {
  const of = (name: string) => samples[name] ?? [];
  const compare = (name: string): Comparison[] => [
    {
      floor: 'local python3',
      of: median(of(BARE)),
      ...(name === judged ? { target: TARGETS.bare } : {}),
    },
    {
      floor: "engine's exec",
      of: median(of(EXEC)),
      ...(name === judged ? { target: TARGETS.exec } : {}),
    },
  ];
  return [
    toRow(BARE, 'ms', of(BARE)),
    toRow(EXEC, 'ms', of(EXEC)),
    ...[...doors, BACK_TO_BACK].map((name) => toRow(`print(1): ${name}`, 'ms', of(name), compare(name))),
  ];
}
