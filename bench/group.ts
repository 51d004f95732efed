import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installRecords } from '../test/support/session-records.ts';
import { openCluster } from './cluster.ts';
import { closeSession, openRest, Refusal } from './doors.ts';
import { interleave, median } from './measure.ts';
import type { Server } from './server.ts';
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
const DEATHS = { quick: 1, thorough: 5 };
const LEASE_S = 15;
/** From the death of a holder until another one answers for its session: the lease, and two seconds. */
const TAKEOVER_MS = (LEASE_S + 2) * 1000;
const ASK_AGAIN_MS = 50;
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
  const group = {
    ...{ GLOVEBOX_STATE: 'cluster', GLOVEBOX_INSTANCE: 'bench', GLOVEBOX_ARCHIVES: 'directory' },
    GLOVEBOX_LEASE_S: String(LEASE_S),
  };
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
  const takeovers: number[] = [];
  for (let death = 0; death < DEATHS[quick ? 'quick' : 'thorough']; death += 1) {
    takeovers.push(await timeTakeover(await start(group), other, `dying-${death}`, signal));
  }
  const of = (name: string) => samples[name] ?? [];
  const prints = [ALONE, HELD, FORWARDED].map((name) => {
    const target = TARGETS[name];
    const compared = target === undefined ? [] : [{ floor: 'alone', of: median(of(ALONE)), target }];
    return toRow(name, 'ms', of(name), compared);
  });
  return [
    ...prints,
    { ...toRow('kill -9 of a holder, until another one answers', 'ms', takeovers), atMost: TAKEOVER_MS },
  ];
}

/** Milliseconds from the death of a session's holder until another server runs code in it. */
async function timeTakeover(holder: Server, other: Server, session: string, signal: AbortSignal): Promise<number> {
  await openRest(holder.url).print(session);
  const killed = performance.now();
  await holder.kill();
  while (!(await answers(other, session))) await sleep(ASK_AGAIN_MS, undefined, { signal });
  const ms = performance.now() - killed;
  await closeSession(other.url, session);
  return ms;
}

async function answers(server: Server, session: string): Promise<boolean> {
  try {
    await openRest(server.url).print(session);
    return true;
  } catch (error) {
    if (error instanceof Refusal) return false;
    throw error;
  }
}
