import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installRecords } from '../test/support/session-records.ts';
import { openCluster } from './cluster.ts';
import { closeSession, openRest } from './doors.ts';
import { interleave, median } from './measure.ts';
import type { Setting } from './setting.ts';
import { type Row, toRow } from './table.ts';

const ALONE = 'print(1): server alone';
const HELD = 'print(1): one of two servers, which holds the session';
const FORWARDED = 'print(1): one of two servers, the other of which holds the session';
/** Of a server alone. */
const TARGETS: Readonly<Record<string, number>> = { [HELD]: 1.05, [FORWARDED]: 2 };
const ROUNDS = { quick: 100, thorough: 600 };
/** Calls by each way after which there is little left for the engine of JavaScript to compile. */
const COMPILED_AFTER = { quick: 50, thorough: 400 };
const FLAGS = ['--pool-size', '0', '--hibernate-after-s', '0'];

/** What it costs a call that servers share their sessions, and that it reaches another than the holder. */
export async function measureGroup({ builds: [own], facts, quick, signal }: Setting): Promise<Row[]> {
  await using stack = new AsyncDisposableStack();
  const { client, env, flags } = stack.use(
    await openCluster(String(facts['image']).includes('data') ? 'data' : 'slim'),
  );
  await installRecords(client);
  const start = async (more: Readonly<Record<string, string>>) => {
    const stateDir = mkdtempSync(join(tmpdir(), 'glovebox-bench-'));
    stack.defer(() => rmSync(stateDir, { recursive: true, force: true }));
    return stack.use(await own.start([...FLAGS, ...flags, '--state-dir', stateDir], { ...env, ...more }));
  };
  const group = { GLOVEBOX_STATE: 'cluster', GLOVEBOX_INSTANCE: 'bench', GLOVEBOX_ARCHIVES: 'directory' };
  const [alone, holder, other] = [await start({}), await start(group), await start(group)];
  const subjects = [
    { name: ALONE, run: () => openRest(alone.url).print() },
    { name: HELD, run: () => openRest(holder.url).print() },
    { name: FORWARDED, run: () => openRest(other.url).print() },
  ];
  // The holder is the one that is asked first.
  const plan = { warmUp: 0, signal };
  await interleave(subjects, { ...plan, rounds: COMPILED_AFTER[quick ? 'quick' : 'thorough'] });
  const samples = await interleave(subjects, { ...plan, rounds: ROUNDS[quick ? 'quick' : 'thorough'] });
  // It would outlast both of its servers.
  await closeSession(other.url, 'bench-rest');
  const of = (name: string) => samples[name] ?? [];
  return [ALONE, HELD, FORWARDED].map((name) => {
    const target = TARGETS[name];
    const compared = target === undefined ? [] : [{ floor: 'alone', of: median(of(ALONE)), target }];
    return toRow(name, 'ms', of(name), compared);
  });
}
