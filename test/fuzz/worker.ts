import { parentPort, workerData } from 'node:worker_threads';
import { createRandom, type Random } from '../../soak/random.ts';
import { addInput, allInputs, keepInputs } from './corpus.ts';
import { Coverage } from './coverage.ts';
import { mutate } from './mutate.ts';
import { type FuzzJob, LENGTH_AT, TURN_AT } from './shared.ts';
import type { Target } from './target.ts';
import { targetOf } from './targets/index.ts';

/** Processor time that one input may take, in milliseconds: so much is only taken by a reader whose time is quadratic. */
const SLOW_MS = 2000;

/** Runs inputs, and tells the other thread which one is running, so that one that never ends is known. */
class Runner {
  readonly #job: FuzzJob;
  readonly #target: Target;
  readonly #coverage = new Coverage();

  constructor(job: FuzzJob) {
    this.#job = job;
    this.#target = targetOf(job.target);
  }

  get reached(): number {
    return this.#coverage.reached;
  }

  /** Runs an input. Returns what it has reached that none did before it. @throws what it shows to be wrong */
  async run(input: Buffer): Promise<readonly string[]> {
    const { current, state } = this.#job;
    input.copy(current);
    Atomics.store(state, LENGTH_AT, input.length);
    Atomics.add(state, TURN_AT, 1);
    const before = process.threadCpuUsage();
    await this.#target.run(input);
    const { user, system } = process.threadCpuUsage(before);
    if ((user + system) / 1000 > SLOW_MS) throw new Error(`It took ${Math.round((user + system) / 1000)} ms.`);
    return this.#coverage.look();
  }
}

async function fuzz(job: FuzzJob): Promise<void> {
  const random = createRandom(job.seed);
  const target = targetOf(job.target);
  const runner = new Runner(job);
  const corpus: Buffer[] = [];
  for (const input of allInputs(target.name)) if ((await runner.run(input)).length > 0) corpus.push(input);
  if (corpus.length === 0) corpus.push(Buffer.from('\n'));
  const known = runner.reached;
  const end = Date.now() + job.milliseconds;
  let runs = 0;
  for (; Date.now() < end; runs += 1) {
    const input = mutate(choose(corpus, random), random, target, corpus);
    if ((await runner.run(input)).length === 0) continue;
    corpus.push(input);
    addInput(target.name, input);
  }
  parentPort?.postMessage({ runs, inputs: corpus.length, reached: runner.reached, fresh: runner.reached - known });
}

/** An input to change: often one of the newest, which reach what is least tried. */
function choose(corpus: readonly Buffer[], random: Random): Buffer {
  return random.pick(random.next() < 0.5 ? corpus.slice(-16) : corpus);
}

/** Leaves in the repository only inputs that reach a block that no shorter one reaches. */
async function keep(job: FuzzJob): Promise<void> {
  const runner = new Runner(job);
  const kept: Buffer[] = [];
  for (const input of allInputs(job.target)) {
    if (input.length > targetOf(job.target).longest) continue;
    const fresh = await runner.run(input);
    if (fresh.some((feature) => feature.endsWith(' reached'))) kept.push(input);
  }
  keepInputs(job.target, kept);
  parentPort?.postMessage({ runs: 0, inputs: kept.length, reached: runner.reached, fresh: 0 });
}

const job = workerData as FuzzJob;
if (job.task === 'keep') await keep(job);
else await fuzz(job);
