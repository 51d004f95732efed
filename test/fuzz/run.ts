import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { writeFinding } from './corpus.ts';
import { type FuzzJob, type FuzzResult, LENGTH_AT, TURN_AT } from './shared.ts';
import { TARGETS, targetOf } from './targets/index.ts';

const USAGE = `Usage: npm run fuzz -- [TARGET…] [--minutes 1] [--seed N] [--keep]

Feeds changed inputs to the readers of what strangers send, and goes on with those that reach new code. Ends with 1, and
writes the input to .fuzz/findings, when a reader fails in a way that it should not.

TARGETS      ${TARGETS.map(({ name }) => name).join(', ')}; all of them by default
--minutes    of all targets together
--keep       then put the shortest inputs that reach each block of code into test/fuzz/corpus
`;
/** Time that one input may take, in milliseconds. */
const HANG_MS = 30_000;
const MEMORY_MB = 512;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else process.exitCode = (await fuzzAll()) ? 0 : 1;

async function fuzzAll(): Promise<boolean> {
  const names = positionals.length > 0 ? positionals : TARGETS.map(({ name }) => name);
  const milliseconds = (Number(values.minutes) * 60_000) / names.length;
  let isGood = true;
  for (const name of names) {
    if (!(await runJob(name, 'fuzz', milliseconds))) isGood = false;
    else if (values.keep) await runJob(name, 'keep', 0);
  }
  return isGood;
}

/** Runs a job in a thread of its own. False when it found something. */
async function runJob(name: string, task: FuzzJob['task'], milliseconds: number): Promise<boolean> {
  const { longest } = targetOf(name);
  const job: FuzzJob = {
    target: name,
    task,
    milliseconds,
    seed: Number(values.seed),
    current: new Uint8Array(new SharedArrayBuffer(Math.max(longest, 1024 * 1024))),
    state: new Int32Array(new SharedArrayBuffer(8)),
  };
  const outcome = Promise.withResolvers<FuzzResult | Error>();
  const worker = new Worker(new URL('worker.ts', import.meta.url), {
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
  });
  worker.on('message', outcome.resolve);
  worker.on('error', outcome.resolve);
  worker.on('exit', (code) => outcome.resolve(new Error(`the thread ended with ${code}`)));
  using _ = watch(job, () => outcome.resolve(new Error(`It took more than ${HANG_MS} ms.`)));
  const result = await outcome.promise;
  await worker.terminate();
  return result instanceof Error ? report(job, result) : say(job, result);
}

/** Calls `onHang` when one input runs for too long. */
function watch({ state }: FuzzJob, onHang: () => void): Disposable {
  let turn = -1;
  const timer = setInterval(() => {
    if (turn === Atomics.load(state, TURN_AT)) onHang();
    turn = Atomics.load(state, TURN_AT);
  }, HANG_MS);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function say({ target, task, seed }: FuzzJob, { runs, inputs, reached, fresh }: FuzzResult): true {
  process.stdout.write(
    task === 'keep'
      ? `${target}: ${inputs} inputs kept\n`
      : `${target}: seed ${seed}, ${runs} runs, ${inputs} inputs, ${reached} blocks reached, ${fresh} of them new\n`,
  );
  return true;
}

function report({ target, current, state, seed }: FuzzJob, error: Error): false {
  const input = Buffer.from(current.slice(0, Atomics.load(state, LENGTH_AT)));
  const path = writeFinding(target, input);
  process.stdout.write(`${target}: FINDING (seed ${seed}), ${input.length} bytes in ${path}\n${error.stack}\n`);
  return false;
}
