import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../scripts/kubernetes/lab.ts';
import { NODES } from '../scripts/kubernetes/layout.ts';
import { ensureProgram } from '../scripts/kubernetes/program.ts';
import { buildClusterImage } from '../test/setup/cluster-image.ts';
import { Counting } from '../test/support/counting.ts';
import { freePort } from '../test/support/free-port.ts';
import { installRecordsIn } from '../test/support/session-records.ts';
import { openStorage } from '../test/support/storage.ts';
import { Plant } from './faults/plant.ts';
import { endAfter, openProgram, SEED } from './program.ts';
import { createRandom, type Random } from './random.ts';
import { ServerLog } from './server-log.ts';

const USAGE = `Usage: npm run faults:group [-- --minutes 20 --seed N]

Two servers of one service in a cluster of two nodes, which is set up for it, with archives in a bucket. Each is killed,
stopped, put to sleep and replaced, and the cluster is broken under both, while calls count up in sessions. Each answer is
checked: no code may run twice, no answer may come from two, and nothing may be lost that is in a sandbox.
`;
const SERVERS = 2;
const SESSIONS = 6;
const LEASE_S = 15;
/** Longer than a lease. */
const SLEEP_MS = [18_000, 25_000] as const;
const DOWN_MS = [500, 5000] as const;
/** Shorter than a node may be away before its sandboxes count as lost. */
const CUT_MS = [1000, 20_000] as const;
const CALM_MS = [1000, 6000] as const;
/** Longest time until each session is answered again, in milliseconds. */
const RECOVERY_MS = 90_000;

interface Fault {
  readonly kind: string;
  readonly weight: number;
  readonly act: () => Promise<void>;
}

const report = (line: string) => void process.stderr.write(`${line}\n`);

const { values, signal: stop } = openProgram(USAGE, { minutes: { type: 'string', default: '20' }, seed: SEED });
await endAfter(run(Number(values.minutes), Number(values.seed)));

/** Whether all was as it must be. */
async function run(minutes: number, seed: number): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(join(tmpdir(), 'glovebox-group-faults-'));
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const image = await buildClusterImage('slim', report);
  const lab = stack.use(await Lab.start({ program: await ensureProgram(report), images: [image], report }));
  await installRecordsIn(lab.kubeconfig);
  const storage = stack.use(await openStorage());
  const log = new ServerLog();
  const env = {
    ...storage.env,
    KUBECONFIG: lab.kubeconfig,
    GLOVEBOX_ENGINE: 'kubernetes',
    GLOVEBOX_IMAGE: image,
    GLOVEBOX_KUBERNETES_NAMESPACE: 'glovebox',
    GLOVEBOX_KUBERNETES_NODE_LOST_S: '120',
    GLOVEBOX_STATE: 'cluster',
    GLOVEBOX_INSTANCE: 'faults',
    GLOVEBOX_LEASE_S: String(LEASE_S),
  };
  const places = await Promise.all(Array.from({ length: SERVERS }, (_, at) => openPlace(join(root, String(at)))));
  const plants = places.map(({ flags }) => stack.use(new Plant({ flags, env, log, signal: stop })));
  for (const plant of plants) await plant.start();
  report(`Seed ${seed}: ${minutes} minutes of faults …`);
  const counts = Array.from({ length: SESSIONS }, (_, at) => new Counting(places, `count-${at}`));
  const kinds = new Map<string, number>();
  const slow: string[] = [];
  let longestMs = 0;
  const random = createRandom(seed);
  const faults = [...serverFaults(plants, random), ...clusterFaults(lab, random)];
  const until = Date.now() + minutes * 60_000;
  while (Date.now() < until && !stop.aborted) {
    const { kind, act } = random.weighted(faults);
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    await act();
    const ms = await recovery(counts);
    if (ms > RECOVERY_MS) slow.push(`After ${kind}, not all sessions were answered within ${RECOVERY_MS} ms.`);
    longestMs = Math.max(longestMs, ms);
    await sleep(random.whole(...CALM_MS));
  }
  await Promise.all(counts.map((count) => count.end()));
  const violations = [...slow, ...counts.flatMap((count) => count.violations)];
  const unknown = Map.groupBy(
    counts.flatMap((count) => count.unknown),
    (how) => how,
  );
  const sum = counts.reduce((all, { answered }) => all + answered, 0);
  process.stdout.write(
    [
      `Seed ${seed}. Faults:`,
      ...[...kinds].map(([kind, count]) => `  ${count} x ${kind}`),
      `${sum} calls answered. Of unknown end: ${[...unknown].map(([how, all]) => `${all.length} x ${how}`).join(', ') || 'none'}.`,
      `What the servers said:\n${log.render()}`,
      `Longest recovery: ${Math.round(longestMs)} ms.`,
      violations.length === 0 ? 'Every invariant held.' : `${violations.length} invariants are broken:`,
      ...violations,
      '',
    ].join('\n'),
  );
  return violations.length === 0;
}

async function openPlace(stateDir: string): Promise<{ readonly url: string; readonly flags: readonly string[] }> {
  mkdirSync(stateDir);
  const port = String(await freePort());
  const flags = ['--state-dir', stateDir, '--port', port, '--setup', 'never', '--memory-mb', '256', '--pool-size', '1'];
  return { url: `http://127.0.0.1:${port}`, flags };
}

function serverFaults(plants: readonly Plant[], random: Random): Fault[] {
  const any = () => random.pick(plants);
  const kill = async () => {
    const plant = any();
    await plant.kill();
    await sleep(random.whole(...DOWN_MS));
    await plant.start();
  };
  const replace = async () => {
    const plant = any();
    await plant.stop();
    await plant.start();
  };
  const putToSleep = async () => {
    const { pid } = any();
    if (pid === undefined) return;
    process.kill(pid, 'SIGSTOP');
    await sleep(random.whole(...SLEEP_MS));
    process.kill(pid, 'SIGCONT');
  };
  return [
    { kind: 'kill -9 of a server', weight: 4, act: kill },
    { kind: 'a server stopped in order, and another started', weight: 3, act: replace },
    { kind: 'a server asleep past its lease', weight: 3, act: putToSleep },
  ];
}

function clusterFaults(lab: Lab, random: Random): Fault[] {
  const restartApi = async () => {
    await lab.killApiServer();
    await sleep(random.whole(...DOWN_MS));
    await lab.startApiServer();
  };
  const cut = async () => {
    const node = random.pick(NODES);
    await lab.cutNode(node);
    await sleep(random.whole(...CUT_MS));
    await lab.joinNode(node);
    await lab.api.awaitNode(node, true, RECOVERY_MS, Date.now());
  };
  return [
    { kind: 'kill -9 of the API server', weight: 2, act: restartApi },
    { kind: 'a node cut off for a while', weight: 2, act: cut },
  ];
}

/** Milliseconds until each session is answered. */
async function recovery(counts: readonly Counting[]): Promise<number> {
  const begin = performance.now();
  const before = counts.map(({ answered }) => answered);
  const isBack = () => counts.every(({ answered }, at) => answered > (before[at] ?? 0) + 1);
  while (!isBack() && performance.now() - begin <= RECOVERY_MS * 2 && !stop.aborted) await sleep(100);
  return performance.now() - begin;
}
