import { once } from 'node:events';
import { type ClientOptions, WebSocket } from 'ws';
import { withDeadline } from './server.ts';

const LIMIT_MS = 20_000;

export interface TerminalMessage {
  readonly type: string;
  readonly [name: string]: unknown;
}

/** A viewer of a terminal, by the WebSocket as a client has it. */
export class TerminalClient implements AsyncDisposable {
  readonly socket: WebSocket;
  readonly messages: TerminalMessage[] = [];
  #bytes = Buffer.alloc(0);
  readonly #look = new Set<() => void>();

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.#bytes = Buffer.concat([this.#bytes, data]);
      else this.messages.push(JSON.parse(data.toString()));
      for (const look of this.#look) look();
    });
    socket.on('close', (code, reason) => {
      this.messages.push({ type: 'closed', code, reason: reason.toString() });
      for (const look of this.#look) look();
    });
  }

  static async attach(
    url: string,
    path: string,
    options: ClientOptions & { from?: number } = {},
  ): Promise<TerminalClient> {
    const { from, ...others } = options;
    const query = from === undefined ? '' : `?from=${from}`;
    const socket = new WebSocket(`${url.replace('http', 'ws')}${path}/attach${query}`, ['glovebox.terminal'], others);
    const client = new TerminalClient(socket);
    await withDeadline(once(socket, 'open'), LIMIT_MS, () => 'The WebSocket was not opened.');
    return client;
  }

  get text(): string {
    return this.#bytes.toString();
  }

  get length(): number {
    return this.#bytes.length;
  }

  type(text: string): void {
    this.socket.send(Buffer.from(text));
  }

  tell(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  /** Resolves once this text was printed, after an offset of what has come. */
  async until(text: string | RegExp, after = 0): Promise<void> {
    await this.#await(() => {
      const since = this.text.slice(after);
      return typeof text === 'string' ? since.includes(text) : text.test(since);
    }, `${text}`);
  }

  async message(type: string): Promise<TerminalMessage> {
    const find = () => this.messages.find((message) => message.type === type);
    await this.#await(() => find() !== undefined, type);
    return find() ?? { type };
  }

  async #await(isThere: () => boolean, what: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => (isThere() ? resolve() : undefined);
    this.#look.add(look);
    look();
    const say = () => `No ${what} in ${JSON.stringify(this.text.slice(-2000))} ${JSON.stringify(this.messages)}`;
    await withDeadline(promise, LIMIT_MS, say);
    this.#look.delete(look);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.socket.readyState === WebSocket.CLOSED) return;
    const closed = once(this.socket, 'close');
    this.socket.terminate();
    await closed;
  }
}
