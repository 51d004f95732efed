import type { IncomingMessage } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RawData, WebSocket } from 'ws';
import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { errorIn, type Server, wentAway } from './requests.ts';
import type { ClientTerminal, ClientTerminalEnd, ClientTerminalOptions, ClientTerminalSize } from './terminal.ts';

/** Interval of the attempts to reach a terminal again, in milliseconds, and their number. */
const AGAIN_MS = 1000;
const MOST_ATTEMPTS = 60;
/** Bytes that may wait for the network before more is typed. */
const MOST_BUFFERED = 256 * 1024;
/** Interval in which a silent server is asked whether it is still there, in milliseconds. */
const SILENCE_MS = 60_000;

const messageSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('attached'), offset: z.number() }),
  z.object({ type: z.literal('resized') }),
  z.object({ type: z.literal('skipped'), bytes: z.number() }),
  z.object({ type: z.literal('ended'), exit_code: z.number().nullable(), reason: z.string() }),
]);

/** A terminal of a server. When the connection breaks it is made again, and what was missed comes then. */
export class RemoteTerminal implements ClientTerminal {
  readonly id: string;
  readonly outlives = true;
  readonly ended: Promise<ClientTerminalEnd | undefined>;
  readonly #server: Server;
  readonly #path: string;
  readonly #options: ClientTerminalOptions;
  readonly #leaving = new AbortController();
  #socket: WebSocket | undefined;
  #size: ClientTerminalSize;
  /** Offset of the next byte; undefined before the first. */
  #offset: number | undefined;
  #end: ClientTerminalEnd | undefined;
  /** Work on what has come, in order. */
  #work: Promise<void> = Promise.resolve();

  constructor(server: Server, session: string, id: string, options: ClientTerminalOptions) {
    this.#server = server;
    this.#path = `/sessions/${encodeURIComponent(session)}/terminals/${encodeURIComponent(id)}/attach`;
    this.#options = options;
    this.#size = { rows: options.rows, cols: options.cols };
    this.id = id;
    this.ended = this.#follow();
  }

  async type(data: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    await new Promise<void>((resolve) => {
      socket.send(data, () => resolve());
      if (socket.bufferedAmount < MOST_BUFFERED) resolve();
    });
  }

  resize(size: ClientTerminalSize): void {
    this.#size = size;
    this.#sendSize();
  }

  leave(): void {
    this.#leaving.abort();
    this.#socket?.close();
  }

  async #follow(): Promise<ClientTerminalEnd | undefined> {
    const signal = AbortSignal.any([this.#leaving.signal, this.#options.signal]);
    for (let attempts = 0; !signal.aborted; attempts += 1) {
      const before = this.#offset;
      const failure = await this.#connect(signal);
      await this.#work;
      if (this.#end) return this.#end;
      if (signal.aborted) break;
      if (failure instanceof GloveboxError) throw failure;
      if (this.#offset !== before) attempts = 0;
      if (this.#offset === undefined || attempts >= MOST_ATTEMPTS) throw wentAway(this.#server.url, failure);
      this.#options.onConnection(false);
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => {});
    }
    return undefined;
  }

  /** Connects, and resolves when the connection has ended: with what the server answered, if that was an error. */
  async #connect(signal: AbortSignal): Promise<unknown> {
    const { url, key } = this.#server;
    const from = this.#offset === undefined ? '' : `?from=${this.#offset}`;
    const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${this.#path}${from}`, ['glovebox.terminal'], {
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      perMessageDeflate: false,
    });
    this.#socket = socket;
    const stop = () => socket.terminate();
    signal.addEventListener('abort', stop);
    let failure: unknown;
    const silence = setTimeout(stop, SILENCE_MS);
    socket.on('open', () => {
      if (this.#offset !== undefined) this.#options.onConnection(true);
      this.#sendSize();
    });
    socket.on('ping', () => silence.refresh());
    socket.on('message', (data, isBinary) => {
      silence.refresh();
      this.#take(socket, data, isBinary);
    });
    socket.on('unexpected-response', (_request, response) => {
      void errorOf(response).then((error) => {
        failure = error;
        socket.terminate();
      });
    });
    socket.on('error', (error) => {
      failure ??= error;
    });
    // Not by `once`, which an error ends before the connection is closed.
    await new Promise<void>((resolve) => socket.on('close', () => resolve()));
    clearTimeout(silence);
    signal.removeEventListener('abort', stop);
    return failure;
  }

  /** Takes a message. What comes meanwhile waits in the network. */
  #take(socket: WebSocket, data: RawData, isBinary: boolean): void {
    const bytes = Array.isArray(data) ? Buffer.concat(data) : Buffer.isBuffer(data) ? data : Buffer.from(data);
    socket.pause();
    this.#work = this.#work
      .then(() => (isBinary ? this.#print(bytes) : this.#obey(bytes.toString())))
      .catch(() => socket.terminate())
      .finally(() => socket.resume());
  }

  async #print(bytes: Buffer): Promise<void> {
    this.#offset = (this.#offset ?? 0) + bytes.length;
    await this.#options.onOutput(bytes);
  }

  #obey(text: string): void {
    const message = messageSchema.safeParse(JSON.parse(text)).data;
    if (message?.type === 'attached') this.#offset = message.offset;
    else if (message?.type === 'skipped') {
      this.#offset = (this.#offset ?? 0) + message.bytes;
      this.#options.onSkipped(message.bytes);
    } else if (message?.type === 'ended') this.#end = { exitCode: message.exit_code, reason: message.reason };
  }

  #sendSize(): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(JSON.stringify({ type: 'resize', ...this.#size }));
  }
}

/** What a server answers that opens no WebSocket. */
async function errorOf(response: IncomingMessage): Promise<GloveboxError> {
  const body: unknown = await json(response).catch(() => undefined);
  return (
    errorIn(body) ??
    new GloveboxError(
      'engine_unavailable',
      `The server opened no WebSocket: it answered with ${response.statusCode}.`,
      {
        hint: 'What stands between here and the server must pass WebSockets on.',
      },
    )
  );
}
