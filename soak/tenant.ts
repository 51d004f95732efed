import { setTimeout as sleep } from 'node:timers/promises';
import type { Execution } from '../test/support/rest-client.ts';
import { type Answer, type CallOptions, Rest, Violation } from './calls.ts';
import type { Random } from './random.ts';
import { Tokens } from './tokens.ts';

type Status = Execution['status'];

/** By the stream instead of the plain call. */
const STREAMED_PART = 0.4;
/** For the longest execution that is left to itself. */
const SETTLE_LIMIT_MS = 60_000;
const LOOK_EVERY_MS = 100;

export interface TenantOptions {
  readonly url: string;
  readonly index: number;
  readonly random: Random;
  readonly onLate: (ms: number, call: string) => void;
}

export interface Expected {
  readonly status?: readonly Status[];
  readonly stdout?: string;
}

/** One session, what should be in it, and a client that asks nothing but it. */
export class Tenant {
  readonly index: number;
  readonly name: string;
  readonly random: Random;
  readonly rest: Rest;
  /** Contents by path. */
  readonly files = new Map<string, string>();
  /** How often each context has been used. */
  readonly contexts = new Map<string, number>();
  readonly #tokens: Tokens;

  constructor({ url, index, random, onLate }: TenantOptions) {
    this.index = index;
    this.name = `soak-${index}`;
    this.random = random;
    this.#tokens = new Tokens(index);
    this.rest = new Rest({ url, onText: (text) => this.#tokens.assertOwn(text), onLate });
  }

  /** A text that no other execution has. */
  token(): string {
    return this.#tokens.issue();
  }

  /** Runs code by either way in; what came of it, after having learned what was lost. */
  async ask(code: string, args: Record<string, unknown> = {}, options?: CallOptions): Promise<Answer> {
    const all = { code, session_id: this.name, ...args };
    const streams = !args['background'] && this.random.next() < STREAMED_PART;
    const answer = streams ? await this.rest.stream(all, options) : await this.rest.execute(all, options);
    if (answer.kind === 'result') this.learn(answer.result);
    return answer;
  }

  /** Runs code that nothing keeps from ending as expected. */
  async run(code: string, expected: Expected, args: Record<string, unknown> = {}): Promise<Execution> {
    return this.check(await this.ask(code, args), expected);
  }

  check(answer: Answer, { status = ['ok'], stdout }: Expected): Execution {
    if (answer.kind !== 'result') throw new Violation(`No result: ${brief(answer)}`);
    const { result, streamed } = answer;
    const isRight = status.includes(result.status) && (stdout === undefined || result.stdout === stdout);
    const isStreamed = streamed === undefined || stdout === undefined || streamed === stdout;
    if (isRight && isStreamed) return result;
    throw new Violation(
      `Expected ${status} ${JSON.stringify(stdout)}, got ${brief(result)}; streamed ${brief(streamed)}`,
    );
  }

  /** A request that is answered. */
  async request(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
    const reply = await this.rest.request(method, path, body);
    if ('cut' in reply) throw new Violation(`${method} ${path} was cut: ${brief(reply.cut)}`);
    return reply;
  }

  /**
   * Waits until nothing runs in the session: what ends an execution that resists may end all others.
   * One that meets this has crashed, and says what was lost.
   */
  async settle(): Promise<void> {
    const deadline = performance.now() + SETTLE_LIMIT_MS;
    for (let running = 1; running > 0; await sleep(LOOK_EVERY_MS)) {
      const { status, text } = await this.request('GET', `/sessions/${this.name}`);
      running = status === 404 ? 0 : JSON.parse(text).running;
      if (performance.now() > deadline) throw new Violation(`${running} executions go on that nobody waits for.`);
    }
    await this.probe();
  }

  /** Runs code until an answer is none of a sandbox that was lost before, or while it ran. */
  async probe(): Promise<void> {
    const token = this.token();
    for (;;) {
      const answer = await this.ask(`print(${JSON.stringify(token)})`);
      if (answer.kind !== 'result' || answer.result.status !== 'crashed') {
        this.check(answer, { stdout: `${token}\n` });
        return;
      }
      if (!answer.result.session_reset) throw new Violation(`A crash names no reset: ${brief(answer.result)}`);
    }
  }

  /** Takes note of what an answer says that the session has lost. */
  learn({ session_id: id, session_reset: reset, session_created: created, context, contexts }: Execution): void {
    if (id !== this.name) throw new Violation(`An answer is of the session ${id}, not of ${this.name}.`);
    if (created && (this.files.size > 0 || this.contexts.size > 0)) throw new Violation('A session was made anew.');
    if (reset?.lost.includes('files')) this.files.clear();
    if (!reset?.lost.includes('contexts')) return;
    if (reset.reason !== 'context_ended') this.contexts.clear();
    else if (context) this.contexts.delete(context.name);
    for (const name of contexts ?? []) if (!this.contexts.has(name)) this.contexts.set(name, 0);
  }

  /** The session was closed: what it had may never be seen again. */
  forget(): void {
    this.files.clear();
    this.contexts.clear();
    this.#tokens.retire();
  }
}

function brief(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 700);
}
