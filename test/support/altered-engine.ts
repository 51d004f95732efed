import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, pipeline } from 'node:stream';
import { text } from 'node:stream/consumers';
import { inject } from 'vitest';

/** Headers can hold all options of a container. */
const MAX_HEADER_BYTES = 512 * 1024;

type Alteration = (body: string) => string;

/** What an engine does otherwise than that of the run, by calls such as `GET /info`, in which ids are `ID`. */
export interface Alterations {
  /** Bodies that the engine gets instead. */
  readonly requests?: Readonly<Record<string, Alteration>>;
  /** Bodies that it answers instead. */
  readonly answers?: Readonly<Record<string, Alteration>>;
}

/** The run's engine as one that drops what it is asked for, or lies: a proxy before its socket. */
export class AlteredEngine implements AsyncDisposable {
  readonly #path = join(tmpdir(), `glovebox-altered-${randomBytes(6).toString('hex')}.sock`);
  readonly #engine = inject('engineAddress').replace('unix://', '');
  readonly address = `unix://${this.#path}`;
  readonly #open = new Set<Socket>();
  #alterations: Alterations;
  readonly #server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (incoming, response) => {
    this.#forward(incoming, response).catch(() => response.destroy());
  });

  private constructor(alterations: Alterations) {
    this.#alterations = alterations;
    this.#server
      .on('connection', (socket: Socket) => {
        this.#open.add(socket);
        socket.on('error', () => {}).once('close', () => this.#open.delete(socket));
      })
      .on('upgrade', (incoming, socket, head) => this.#upgrade(incoming, socket, head));
  }

  static async open(alterations: Alterations = {}): Promise<AlteredEngine> {
    const engine = new AlteredEngine(alterations);
    await new Promise<void>((resolve) => engine.#server.listen(engine.#path, resolve));
    return engine;
  }

  /** Ends each connection, and goes on as another engine. */
  restart(alterations: Alterations): void {
    this.#alterations = alterations;
    for (const socket of this.#open) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.restart({});
    await closed;
    rmSync(this.#path, { force: true });
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = 'GET', url: path = '' } = incoming;
    const call = `${method} ${path
      .replace(/\?.*/, '')
      .replace(/^\/v[\d.]+/, '')
      .replace(/[0-9a-f]{64}/, 'ID')}`;
    const { requests, answers } = this.#alterations;
    const sent = await text(incoming);
    const body = requests?.[call]?.(sent) ?? sent;
    const headers = { Host: 'engine', ...(body === '' ? {} : { 'Content-Type': 'application/json' }) };
    const outgoing = request({ socketPath: this.#engine, method, path, headers }, (answer) => {
      const alter = answers?.[call];
      response.writeHead(answer.statusCode ?? 502, { 'Content-Type': answer.headers['content-type'] ?? 'text/plain' });
      response.flushHeaders();
      if (alter) text(answer).then((original) => response.end(alter(original)));
      else pipeline(answer, response, () => {});
    });
    outgoing.on('error', () => response.destroy()).end(body);
  }

  /** An exec: its bytes are passed on as they are. */
  #upgrade({ method, url, rawHeaders }: IncomingMessage, near: Duplex, head: Buffer): void {
    const far = connect(this.#engine);
    const lines = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : []));
    far.write([`${method} ${url} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
    far.write(head);
    for (const [from, to] of [[near, far] as const, [far, near] as const]) {
      from.pipe(to);
      from.on('error', () => to.destroy()).once('close', () => to.destroy());
    }
  }
}
