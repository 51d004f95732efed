import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** The server that editors drive Codex by, over stdin and stdout. It calls tools without a model. */
export class CodexAppServer implements AsyncDisposable {
  readonly #child;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: unknown }) => void>();
  #last = 0;

  private constructor(command: readonly string[], env: NodeJS.ProcessEnv, cwd: string) {
    const [program = '', ...args] = command;
    this.#child = spawn(program, [...args, 'app-server'], { env, cwd, stdio: ['pipe', 'pipe', 'ignore'] });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, method, ...answer } = JSON.parse(line);
      if (method === undefined) this.#waiting.get(id)?.(answer);
    });
  }

  static async start(command: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Promise<CodexAppServer> {
    const server = new CodexAppServer(command, env, cwd);
    await server.ask('initialize', { clientInfo: { name: 'test', version: '1' } });
    server.#send({ method: 'initialized' });
    return server;
  }

  async ask<T>(method: string, params: object): Promise<T> {
    this.#last += 1;
    const id = this.#last;
    const { promise, resolve } = Promise.withResolvers<{ result?: unknown; error?: unknown }>();
    this.#waiting.set(id, resolve);
    this.#send({ id, method, params });
    const { result, error } = await promise;
    if (error !== undefined) throw new Error(`${method}: ${JSON.stringify(error)}`);
    return result as T;
  }

  #send(message: object): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin.end();
    await ended;
  }
}
