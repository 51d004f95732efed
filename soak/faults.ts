import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addKey } from '../src/http/auth/key-file.ts';
import { freePort } from '../test/support/free-port.ts';
import { openClusterField } from './faults/cluster-field.ts';
import { openDockerField } from './faults/docker-field.ts';
import { History } from './faults/history.ts';
import { Monkey } from './faults/monkey.ts';
import { Plant } from './faults/plant.ts';
import { Witness } from './faults/witness.ts';
import { endAfter, openProgram, SEED } from './program.ts';
import { createRandom } from './random.ts';
import { filesIn } from './sample.ts';
import { ServerLog } from './server-log.ts';

const USAGE = `Usage: npm run faults [-- --minutes 10 --seed N --kubernetes]

Owners work on while the server, the engine and the containers are killed and started again, over and over. No answer may
be another's, no call may hang, and nothing may be lost that a checkpoint should have.
  --kubernetes  in a cluster of two nodes that is set up for it: its API server, nodes, kubelets and pods are broken
`;
const OWNERS = ['alice', 'bob'];
const SESSIONS = ['one', 'two', 'three'];

const { values, signal: stop } = openProgram(USAGE, {
  minutes: { type: 'string', default: '10' },
  seed: SEED,
  kubernetes: { type: 'boolean', default: false },
});
await endAfter(run(Number(values.minutes), Number(values.seed)));

/** Whether all was as it must be. */
async function run(minutes: number, seed: number): Promise<boolean> {
  await using stack = new AsyncDisposableStack();
  const root = mkdtempSync(join(tmpdir(), 'glovebox-faults-'));
  stack.defer(() => rmSync(root, { recursive: true, force: true }));
  const stateDir = join(root, 'state');
  mkdirSync(stateDir);
  const field = stack.use(
    values.kubernetes ? await openClusterField(stateDir) : await openDockerField(join(root, 'engine'), stateDir),
  );
  const log = new ServerLog();
  const port = await freePort();
  const flags = ['--state-dir', stateDir, '--port', String(port), '--auth', 'keys', '--setup', 'never'];
  const sizes = ['--memory-mb', '256', '--on-shutdown', 'keep'];
  const plant = new Plant({ flags: [...flags, ...sizes], env: field.env, log, signal: stop });
  stack.defer(() => field.removeAll());
  stack.use(plant);

  const violations: string[] = [];
  const answers = new Map<string, number>();
  const history = new History();
  const onViolation = (what: string) => {
    violations.push(what);
    process.stderr.write(`VIOLATION ${what}\n`);
  };
  const onAnswer = (kind: string) => void answers.set(kind, (answers.get(kind) ?? 0) + 1);
  const witnesses = OWNERS.flatMap((owner, place) => {
    const { key } = addKey(join(stateDir, 'keys.json'), owner);
    return SESSIONS.map((session, number) => {
      const index = place * SESSIONS.length + number;
      const random = createRandom(seed * 100 + index);
      const url = `http://127.0.0.1:${port}`;
      return new Witness({ url, index, owner, key, session, random, history, onAnswer, onViolation });
    });
  });
  await plant.start();
  process.stderr.write(`Seed ${seed}: ${minutes} minutes of faults …\n`);
  const over = AbortSignal.any([stop, AbortSignal.timeout(minutes * 60_000)]);
  const monkey = new Monkey({
    ...{ plant, field, witnesses, history, onViolation },
    random: createRandom(seed),
  });
  const raging = monkey.rage(over);
  const calm = new AbortController();
  const working = witnesses.map((witness) => witness.work(calm.signal));
  await raging.finally(() => calm.abort());
  await Promise.all(working);
  await Promise.all(witnesses.map((witness) => witness.close()));
  await plant.stop();
  const designed = /\/(id|keys\.json|usage\/modules\.json|probes\/[0-9a-f]+\.json|[^/]+\.(lock|sqlite)[^/]*)$/;
  const files = filesIn(stateDir).filter((path) => !designed.test(path));
  violations.push(...(await field.leftovers()), ...files.map((path) => `The file ${path} is left.`));
  report({ seed, violations, answers, monkey, witnesses, log });
  return violations.length === 0;
}

interface Facts {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly answers: ReadonlyMap<string, number>;
  readonly monkey: Monkey;
  readonly witnesses: readonly Witness[];
  readonly log: ServerLog;
}

function report({ seed, violations, answers, monkey, witnesses, log }: Facts): void {
  const counted = (counts: ReadonlyMap<string, number>) =>
    [...counts].map(([name, count]) => `  ${count} x ${name}`).join('\n');
  const { ms, kind } = monkey.longestRecovery;
  const lost = witnesses.reduce((sum, { files }) => sum + files.lost, 0);
  const chance = Math.max(...witnesses.map(({ files }) => files.longestChanceMs));
  const lines = [
    `Seed ${seed}. Faults:\n${counted(monkey.counts)}`,
    `Answers:\n${counted(answers)}`,
    `What the servers said:\n${log.render()}`,
    `Longest recovery: ${ms} ms, from ${kind}.`,
    `Files that went with their containers: ${lost}; the oldest had been there for ${chance} ms with the server up.`,
    ...(violations.length > 0
      ? [`${violations.length} invariants are broken:`, ...violations]
      : ['Every invariant held.']),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
