import { setTimeout as sleep } from 'node:timers/promises';
import { Load } from './load.ts';
import { endAfter, openProgram, SEED } from './program.ts';
import { filesIn, type Sample, takeSample } from './sample.ts';
import { openSetting, type Setting } from './setting.ts';
import { FEWEST_FOR_SLOPE, judge, renderSamples, slopeOf } from './verdict.ts';

const USAGE = `Usage: npm run soak -- [--executions 20000] [--sessions 50] [--seed N] [--engine own|machine]

Runs a mix of all that callers do, and of what they should not do, against one server. Every answer is checked, and at
the end nothing may be left: no container, process, descriptor, file or memory.
`;
const SAMPLES = 20;
/** Executions between two samples at least. */
const LEAST_EVERY = 50;
const IDLE_LIMIT_MS = 90_000;
const LOOK_EVERY_MS = 1000;
/** For a minute, the server keeps the events of calls for readers that come back. */
const KEPT_MS = 65_000;

const { values, signal: stop } = openProgram(USAGE, {
  executions: { type: 'string', default: '20000' },
  sessions: { type: 'string', default: '50' },
  seed: SEED,
  engine: { type: 'string', default: 'own' },
});
await endAfter(soak(Number(values.executions), Number(values.sessions), Number(values.seed)));

/** Whether all was as it must be. */
async function soak(executions: number, sessions: number, seed: number): Promise<boolean> {
  await using setting = await openSetting({ sessions, which: values.engine === 'machine' ? 'machine' : 'own' }, stop);
  const { server, places, outside, cancelling, log } = setting;
  const started = performance.now();
  const sample = (done: number) => takeSample(places, done, (performance.now() - started) / 1000);
  process.stderr.write(`Seed ${seed}: ${executions} executions in ${sessions} sessions …\n`);
  const before = await sample(0);
  const during: Sample[] = [];
  const load = new Load({
    url: server.url,
    sessions,
    executions,
    seed,
    world: { outside, cancelling },
    signal: stop,
    every: Math.max(Math.ceil(executions / SAMPLES), LEAST_EVERY),
    onEvery: async (done) => {
      during.push(await sample(done));
      process.stderr.write(`${done} executions after ${Math.round((performance.now() - started) / 1000)} s\n`);
    },
  });
  // Ended early, it has still run so many.
  await load.run();
  const wrong = [...load.violations, ...(await closeAll(setting, load, before))];
  const after = await sample(load.executions);
  wrong.push(...judge({ before, during, after }), ...(await end(setting)), ...log.errors);
  const lines = [
    ...[...load.counts].map(([name, count]) => `  ${count} x ${name}`),
    `The longest that a call took beyond its own limit and its wait for a place: ${Math.round(load.latest.ms)} ms, by ${load.latest.call}`,
    `What the server said:\n${log.render()}`,
    renderSamples({ before, during, after }),
    `Growth for each 1000 executions: heap ${slopeOf(during, 'heap').toFixed(3)} MiB, RSS ${slopeOf(during, 'rss').toFixed(3)} MiB.`,
    ...(wrong.length > 0 ? [`${wrong.length} invariants are broken:`, ...wrong] : ['Every invariant held.']),
  ];
  process.stdout.write(`Seed ${seed}, ${load.executions} executions:\n${lines.join('\n')}\n`);
  return wrong.length === 0;
}

/** Closes all sessions, and waits until the server has come to rest. */
async function closeAll({ server, outside }: Setting, load: Load, before: Sample): Promise<string[]> {
  const wrong: string[] = [];
  for (const tenant of load.tenants) {
    const { status } = await tenant.request('DELETE', `/sessions/${tenant.name}`);
    if (status !== 204 && status !== 404) wrong.push(`Closing ${tenant.name} answered ${status}.`);
  }
  const deadline = performance.now() + IDLE_LIMIT_MS;
  const isResting = async () => (await outside.containers()).length <= before.containers;
  while (!(await isResting()) && performance.now() < deadline) await sleep(LOOK_EVERY_MS);
  await server.settled();
  if (load.executions >= FEWEST_FOR_SLOPE) await sleep(KEPT_MS);
  return wrong;
}

/** Ends the server in order; what that left behind. */
async function end({ server, outside, places }: Setting): Promise<string[]> {
  await server[Symbol.asyncDispose]();
  const designed = /\/(id|usage\/modules\.json|probes\/[0-9a-f]+\.json|[^/]+\.(lock|sqlite)[^/]*)$/;
  const files = [...filesIn(places.stateDir), ...filesIn(places.tempDir)].filter((path) => !designed.test(path));
  return [...(await outside.leftovers()), ...files.map((path) => `The file ${path} is left.`)];
}
