import { setTimeout as sleep } from 'node:timers/promises';
import type { Execution } from '../../test/support/rest-client.ts';
import { type Answer, Rest, Violation } from '../calls.ts';
import type { Random } from '../random.ts';
import { Tokens } from '../tokens.ts';
import type { History } from './history.ts';
import { FileMemory } from './memory.ts';

/** What a call may be told while something is broken. */
const EXPECTED_REFUSALS = ['engine_unavailable', 'sandbox_lost'];
/** How what met a fault may have ended; an engine that hangs lets time run out. */
const CUT_SHORT = ['crashed', 'timeout'];
const MOST_FILES = 40;
const PAUSE_MS = [50, 500] as const;
const RETRY_MS = 250;
const CONTEXT = 'counter';
const TIMEOUT_S = 30;

export interface WitnessOptions {
  readonly url: string;
  readonly index: number;
  readonly owner: string;
  readonly key: string;
  readonly session: string;
  readonly random: Random;
  readonly history: History;
  readonly onAnswer: (kind: string) => void;
  readonly onViolation: (what: string) => void;
}

interface Job {
  readonly id: string;
  readonly token: string;
  readonly startedAt: number;
}

/** A client of one session that works on, whatever happens, and sees to it that nothing is lost that may not be. */
export class Witness {
  readonly index: number;
  readonly owner: string;
  readonly session: string;
  readonly files: FileMemory;
  /** When it last got a result, ms of `Date.now`. */
  lastResultAt = 0;
  readonly #options: WitnessOptions;
  readonly #rest: Rest;
  readonly #tokens: Tokens;
  #written = 0;
  #count = 0;
  /** Cells that may or may not have run. */
  #unsureCells = 0;
  /** Whether an answer was lost, and a loss that it told, since the context was last seen. */
  #missed = false;
  #job: Job | undefined;

  constructor(options: WitnessOptions) {
    const { url, key, index, history } = options;
    this.#options = options;
    this.index = index;
    this.owner = options.owner;
    this.session = options.session;
    this.files = new FileMemory(history, index);
    this.#tokens = new Tokens(index);
    this.#rest = new Rest({
      url,
      headers: { Authorization: `Bearer ${key}` },
      onText: (text) => this.#tokens.assertOwn(text),
    });
  }

  get name(): string {
    return `${this.owner}/${this.session}`;
  }

  /** Works until the signal aborts, and looks at everything once more then. */
  async work(signal: AbortSignal): Promise<void> {
    const { random } = this.#options;
    const deeds = [
      { weight: 5, act: () => this.#write() },
      { weight: 4, act: () => this.#readBack() },
      { weight: 3, act: () => this.#useContext() },
      { weight: 1.5, act: () => this.#followJob() },
    ];
    while (!signal.aborted) {
      await this.#try(random.weighted(deeds).act);
      await sleep(random.whole(...PAUSE_MS));
    }
    await this.#try(() => this.#readBack());
  }

  /** Closes the session, which then leaves nothing. */
  async close(): Promise<void> {
    const reply = await this.#rest.request('DELETE', `/sessions/${this.session}`);
    if ('cut' in reply || ![204, 404].includes(reply.status)) this.#blame(`Closing answered ${JSON.stringify(reply)}`);
  }

  async #try(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch (error) {
      this.#blame(error instanceof Violation ? error.message : String((error as Error).stack));
    }
  }

  #blame(what: string): void {
    this.#options.onViolation(`${new Date().toISOString()} ${this.name}: ${what}`);
  }

  /** A result; undefined for a call that met something broken, which may have run or not. */
  async #ask(code: string, args: Record<string, unknown> = {}): Promise<Execution | undefined> {
    const startedAt = Date.now();
    const answer = await this.#rest.execute({ code, session_id: this.session, timeout_s: TIMEOUT_S, ...args });
    const result = await this.#hear(answer);
    if (!result) {
      this.#missed = true;
      return undefined;
    }
    this.files.learn(result);
    if (result.session_reset?.lost.includes('contexts') || result.session_created) this.#count = 0;
    this.#checkStatus(result, startedAt);
    return result;
  }

  async #hear(answer: Answer): Promise<Execution | undefined> {
    const { onAnswer } = this.#options;
    if (answer.kind === 'result') {
      onAnswer(answer.result.status);
      this.lastResultAt = Date.now();
      return answer.result;
    }
    onAnswer(answer.kind === 'cut' ? 'connection lost' : answer.code);
    if (answer.kind === 'refused' && !EXPECTED_REFUSALS.includes(answer.code)) {
      throw new Violation(`It was told ${answer.code}: ${answer.message}`);
    }
    if (answer.kind === 'cut') this.files.missAnswer();
    await sleep(RETRY_MS);
    return undefined;
  }

  async #write(): Promise<void> {
    const token = this.#tokens.issue();
    this.#written += 1;
    const path = `${this.#written % MOST_FILES}-${this.#written}.txt`;
    // Of all that were ever written some stay: those of the same remainder make room.
    const code = `import glob, os
for old in glob.glob("${this.#written % MOST_FILES}-*.txt"): os.remove(old)
open("${path}", "w").write("${token}")`;
    this.files.retire(`${this.#written % MOST_FILES}-`);
    const result = await this.#ask(code);
    if (result?.status === 'ok') this.files.wrote(path, token);
    else this.files.mayHaveWritten(path, token);
  }

  async #readBack(): Promise<void> {
    const result = await this.#ask('import glob\nfor p in glob.glob("*.txt"): print(p, open(p).read())');
    if (result?.status !== 'ok') return;
    const lines = result.stdout.split('\n').filter(Boolean);
    this.files.check(new Map(lines.map((line) => line.split(' ') as [string, string])));
  }

  async #useContext(): Promise<void> {
    const token = this.#tokens.issue();
    const code = `n = globals().get("n", 0) + 1\nprint("${token}", n)`;
    const before = this.#count;
    const result = await this.#ask(code, { context: CONTEXT });
    if (result?.status !== 'ok') {
      this.#unsureCells += 1;
      return;
    }
    const [said, number] = result.stdout.trim().split(' ');
    const wasLost = this.#count < before || (result.context?.created && this.#missed);
    const least = wasLost ? 1 : this.#count + 1;
    const most = this.#count + 1 + this.#unsureCells;
    this.#count = Number(number);
    this.#unsureCells = 0;
    this.#missed = false;
    if (said === token && Number(number) >= least && Number(number) <= most) return;
    throw new Violation(`The context should be at ${least} to ${most}: ${JSON.stringify(result).slice(0, 600)}`);
  }

  /** Starts a background execution, or waits for the end of the one that there is. */
  async #followJob(): Promise<void> {
    const job = this.#job;
    if (!job) return await this.#startJob();
    const answer = await this.#rest.follow('GET', job.id, 20);
    if (answer.kind === 'refused' && answer.code === 'execution_not_found') {
      this.#job = undefined;
      if (!this.#wasStruck(job.startedAt)) throw new Violation(`A background execution is forgotten: ${job.id}`);
      return;
    }
    const result = await this.#hear(answer);
    if (!result || result.status === 'running') return;
    // What it printed cannot be read just now.
    if (result.status === 'ok' && result.stdout === '' && result.truncated?.stdout) return;
    this.#job = undefined;
    if (result.status === 'ok' && result.stdout === `${job.token}\n`) return;
    if (this.#wasStruck(job.startedAt) && (CUT_SHORT.includes(result.status) || result.stdout.includes('left out')))
      return;
    throw new Violation(`A background execution ended so: ${JSON.stringify(result).slice(0, 600)}`);
  }

  async #startJob(): Promise<void> {
    const token = this.#tokens.issue();
    const code = `import time; time.sleep(${this.#options.random.whole(1, 12)}); print("${token}")`;
    const startedAt = Date.now();
    const result = await this.#ask(code, { background: true });
    if (result) this.#job = { id: result.execution_id, token, startedAt };
  }

  #wasStruck(startedAt: number): boolean {
    return this.#options.history.firstSince(startedAt, this.index, ['container', 'processes']) !== undefined;
  }

  /** Nothing that a witness runs fails by itself. */
  #checkStatus(result: Execution, startedAt: number): void {
    const { status, session_reset: reset } = result;
    if (status === 'ok' || status === 'running') return;
    if (status === 'crashed' && reset) return;
    if (CUT_SHORT.includes(status) && this.#wasStruck(startedAt)) return;
    // A server that is told to stop ends what runs, and answers.
    if (status === 'cancelled' && result.termination && this.#options.history.wasStoppedSince(startedAt)) return;
    throw new Violation(`An execution ended so: ${JSON.stringify(result).slice(0, 600)}`);
  }
}
