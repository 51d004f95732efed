import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** What a model would get of a call. */
export interface Answer {
  readonly text: string;
  readonly images: number;
}

export interface Call {
  readonly answer: Promise<Answer>;
  /** Progress notifications so far. */
  readonly heard: () => number;
  cancel(): void;
}

interface Line {
  readonly id?: number;
  readonly ready?: true;
  readonly heard?: true;
  readonly answer?: unknown;
  readonly error?: string;
}

interface Waiting {
  heard: number;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

const START_LIMIT_MS = 90_000;
const KEPT_STDERR = 2000;

/** A stock client in a process of its own, as `driver.py` and its like in other languages have it. */
export class DrivenClient implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ready = Promise.withResolvers<void>();
  #stderr = '';
  #count = 0;

  constructor(command: readonly [string, ...string[]], cwd: string) {
    this.#child = spawn(command[0], command.slice(1), { cwd });
    this.#child.stdin.on('error', () => {}); // The end is told by the process itself.
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-KEPT_STDERR);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#take(JSON.parse(line) as Line));
    this.#child.once('error', (error) => this.#end(error.message));
    this.#child.once('close', (code) => this.#end(`it ended with code ${code}: ${lastLine(this.#stderr)}`));
  }

  async start(): Promise<void> {
    const timer = setTimeout(() => this.#end(`it did not start: ${lastLine(this.#stderr)}`), START_LIMIT_MS);
    await this.#ready.promise.finally(() => clearTimeout(timer));
  }

  async tools(): Promise<readonly string[]> {
    return (await this.#ask({ op: 'tools' }).answer) as string[];
  }

  async resources(): Promise<readonly string[]> {
    return (await this.#ask({ op: 'resources' }).answer) as string[];
  }

  async read(uri: string): Promise<string> {
    return (await this.#ask({ op: 'read', uri }).answer) as string;
  }

  call(name: string, args: Readonly<Record<string, unknown>>): Call {
    const { id, waiting, answer } = this.#ask({ op: 'call', name, arguments: args });
    return {
      answer: answer as Promise<Answer>,
      heard: () => waiting.heard,
      cancel: () => this.#write({ op: 'cancel', of: id }),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    this.#end('it was closed');
  }

  #ask(request: object) {
    this.#count += 1;
    const id = this.#count;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    promise.catch(() => {}); // Whoever asked may have given up by then.
    const waiting: Waiting = { heard: 0, resolve, reject };
    this.#waiting.set(id, waiting);
    this.#write({ id, ...request });
    return { id, waiting, answer: promise };
  }

  #write(request: object): void {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  #take({ ready, id = 0, heard, answer, error }: Line): void {
    if (ready) this.#ready.resolve();
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    if (heard) waiting.heard += 1;
    else {
      this.#waiting.delete(id);
      if (error === undefined) waiting.resolve(answer);
      else waiting.reject(new Error(error));
    }
  }

  #end(why: string): void {
    this.#ready.promise.catch(() => {});
    this.#ready.reject(new Error(why));
    for (const { reject } of this.#waiting.values()) reject(new Error(why));
    this.#waiting.clear();
  }
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
