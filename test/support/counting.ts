import { type ErrorAnswer, type Execution, post } from './rest-client.ts';
import type { Server } from './server.ts';

/** Code of a call that found no place, and so was not begun. */
const FULL = 'capacity_exceeded';
/** Pause after a server that takes no calls, in milliseconds. */
const PAUSE_MS = 50;

/**
 * Counts up, in a context and in a file, and fails where these two do not agree: in two sandboxes, or with a loss. Code that
 * was ended in the midst of it may have written only one of them.
 */
const CODE = `
import os
n = globals().get('n', 0)
kept = int((os.path.exists('n.txt') and open('n.txt').read()) or n)
assert abs(kept - n) <= 1, f'{kept} in the file, {n} in the context'
after = max(n, kept) + 1
open('n.txt', 'w').write(str(after))
n = after
print(n)
`;

/** Calls that count up a number in a context, one after the other, at whichever server there is. Each answer is checked. */
export class Counting {
  readonly #servers: Pick<Server, 'url'>[];
  readonly #session: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #stop = new AbortController();
  readonly #ended: Promise<void>;
  /** Calls that were answered. */
  answered = 0;
  /** How calls ended whose end is not known: codes of errors that say that the call had begun, and others. */
  readonly unknown: string[] = [];
  /** What cannot be: an answer that skips or repeats a number, or tells of a loss. */
  readonly violations: string[] = [];
  #last = 0;
  /** Calls since the last answer that may have counted. */
  #maybe = 0;

  /** @param servers those that may be called; may change meanwhile */
  constructor(servers: Pick<Server, 'url'>[], session: string, headers: Readonly<Record<string, string>> = {}) {
    this.#servers = servers;
    this.#session = session;
    this.#headers = headers;
    this.#ended = this.#run();
  }

  async end(): Promise<void> {
    this.#stop.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    for (let turn = 0; !this.#stop.signal.aborted; turn += 1) {
      const server = this.#servers[turn % this.#servers.length];
      if (server && !(await this.#call(server))) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Returns whether the call was begun. */
  async #call(server: Pick<Server, 'url'>): Promise<boolean> {
    const args = { session_id: this.#session, context: 'count', code: CODE };
    try {
      const answer = await post(
        server,
        '/execute',
        { name: 'execute_python', arguments: args },
        { headers: this.#headers },
      );
      const { result, error } = (await answer.json()) as { result?: Execution } & Partial<ErrorAnswer>;
      if (result) this.#take(result);
      else if (error?.begun === false || error?.code === FULL) return false;
      else this.#doubt(error ? `${error.code}${error.begun ? '' : ', which does not say'}` : 'no answer');
      return true;
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } };
      if (cause?.code === 'ECONNREFUSED') return false;
      this.#doubt(cause?.code ?? String(error));
      return true;
    }
  }

  #take({ status, stdout, stderr, session_reset: reset }: Execution): void {
    this.answered += 1;
    if (status !== 'ok' || reset)
      this.violations.push(`${status} ${JSON.stringify(reset)} ${stderr.slice(-200)} after ${this.#last}`);
    const value = Number(stdout);
    if (!(value > this.#last && value <= this.#last + 1 + this.#maybe))
      this.violations.push(`${stdout.trim()} after ${this.#last}, with ${this.#maybe} calls of unknown end`);
    this.#last = value;
    this.#maybe = 0;
  }

  #doubt(how: string): void {
    this.#maybe += 1;
    this.unknown.push(how);
  }
}
