import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestOptions, request, type ServerResponse } from 'node:http';
import type { Duplex, Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { GloveboxError, toGloveboxError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { LABELS } from '../hardening/spec.ts';
import { checkRequest, type ForwardedRequest, type PolicyOptions } from './policy.ts';

/** Bytes of the headers: older control planes repeat the options of a container, with its seccomp profile, in the query. */
const MAX_HEADER_BYTES = 512 * 1024;
/** Bytes of a body. */
const MAX_BODY_BYTES = 1024 * 1024;
/** Execs that were created but not started. Execs are started at once, so old ones never will be. */
const MAX_WAITING_EXECS = 10_000;

export interface SocketProxyOptions extends PolicyOptions {
  /** Path of the engine's socket. */
  readonly engine: string;
  /** Path of the socket for the control plane. An existing file is replaced. */
  readonly socket: string;
  readonly log: Log;
}

/** Proxy between a control plane and the engine. `policy.ts` decides what it forwards. */
export class SocketProxy implements AsyncDisposable {
  readonly #options: SocketProxyOptions;
  readonly #server = createServer({ maxHeaderSize: MAX_HEADER_BYTES }, (incoming, response) => {
    this.#answer(incoming, response).catch((error: unknown) => this.#refuse(response, incoming, error));
  });
  /** Ids of the execs that were created through this proxy, and not yet started. */
  readonly #execs = new Set<string>();

  private constructor(options: SocketProxyOptions) {
    this.#options = options;
    this.#server.on('upgrade', (incoming, socket, head) => {
      socket.on('error', () => socket.destroy());
      this.#upgrade(incoming, socket, head).catch((error: unknown) => {
        this.#log(incoming, error);
        socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      });
    });
  }

  /** Listens on the socket. @throws Error when the socket cannot be created */
  static async listen(options: SocketProxyOptions): Promise<SocketProxy> {
    const proxy = new SocketProxy(options);
    rmSync(options.socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(options.socket, resolve);
    });
    return proxy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const forwarded = await this.#check(incoming, await readBody(incoming));
    if (forwarded.exec !== undefined)
      throw new GloveboxError('forbidden', 'An exec can only be started with its streams attached.');
    const answer = await this.#send(incoming.method, forwarded);
    if (forwarded.makesExec && answer.statusCode === 201) {
      const text = (await readBody(answer)).toString();
      this.#remember((JSON.parse(text) as { Id: string }).Id);
      response.writeHead(201, { 'Content-Type': 'application/json' }).end(text);
      return;
    }
    response.writeHead(answer.statusCode ?? 502, { 'Content-Type': answer.headers['content-type'] ?? 'text/plain' });
    pipeline(answer, response, () => {});
  }

  /** Connects the streams of an exec. After the upgrade, both sides send raw bytes. */
  async #upgrade(incoming: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const [body, rest] = await readUpgradeBody(incoming, socket, head);
    const forwarded = await this.#check(incoming, body);
    if (forwarded.exec === undefined || !this.#execs.delete(forwarded.exec)) {
      throw new GloveboxError('forbidden', 'This exec was not created through the socket proxy.');
    }
    const outgoing = request({ ...this.#target(incoming.method, forwarded), headers: UPGRADE_HEADERS });
    outgoing.once('upgrade', (_, upstream: Duplex, first: Buffer) => {
      socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
      socket.write(first);
      upstream.write(rest);
      // When one side ends or breaks the connection, the other side is closed as well.
      upstream.on('error', () => socket.destroy());
      socket.on('close', () => upstream.destroy());
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    outgoing.once('response', () => socket.destroy());
    outgoing.once('error', () => socket.destroy());
    outgoing.end(JSON.stringify(forwarded.body));
  }

  async #check({ method = '', url = '' }: IncomingMessage, body: Buffer): Promise<ForwardedRequest> {
    const forwarded = checkRequest({ method, url, ...(body.length > 0 ? { body: parse(body) } : {}) }, this.#options);
    if (forwarded.sandbox !== undefined) await this.#assertSandbox(forwarded.sandbox);
    return forwarded;
  }

  /** Checks that a container is a sandbox. A missing one is accepted, because the engine answers with an error. */
  async #assertSandbox(container: string): Promise<void> {
    const answer = await this.#send('GET', { path: `/containers/${container}/json` });
    const text = (await readBody(answer)).toString();
    if (answer.statusCode === 404) return;
    const { Config } = JSON.parse(text) as { Config?: { Labels?: Record<string, string> } };
    if (Config?.Labels?.[LABELS.key] !== undefined) return;
    throw new GloveboxError('forbidden', 'Refused by the socket proxy: that container is not a sandbox.');
  }

  #target(method: string | undefined, { path }: ForwardedRequest): RequestOptions {
    return { socketPath: this.#options.engine, method: method ?? 'GET', path, headers: { Host: 'engine' } };
  }

  #send(method: string | undefined, forwarded: ForwardedRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const outgoing = request(this.#target(method, forwarded), resolve).once('error', reject);
      if (forwarded.body === undefined) return outgoing.end();
      return outgoing.setHeader('Content-Type', 'application/json').end(JSON.stringify(forwarded.body));
    });
  }

  #remember(exec: string): void {
    this.#execs.add(exec);
    const [oldest] = this.#execs;
    if (this.#execs.size > MAX_WAITING_EXECS && oldest !== undefined) this.#execs.delete(oldest);
  }

  #refuse(response: ServerResponse, incoming: IncomingMessage, thrown: unknown): void {
    this.#log(incoming, thrown);
    if (response.headersSent) return void response.destroy();
    const error = thrown instanceof GloveboxError ? thrown : undefined;
    const message = error?.message ?? 'The engine behind the socket proxy does not answer.';
    response.writeHead(error?.status ?? 502, { 'Content-Type': 'application/json' }).end(JSON.stringify({ message }));
  }

  #log({ method, url }: IncomingMessage, thrown: unknown): void {
    const request = `${method} ${url?.split('?', 1)[0]?.slice(0, 200)}`;
    const error = toGloveboxError(thrown);
    this.#options.log.warn('refused a request', { request, error });
  }
}

const UPGRADE_HEADERS = {
  Host: 'engine',
  Connection: 'Upgrade',
  Upgrade: 'tcp',
  'Content-Type': 'application/json',
};

async function readBody(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += (chunk as Buffer).length;
    if (length > MAX_BODY_BYTES) throw new GloveboxError('payload_too_large', 'The body is too long.');
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** Reads the body of an upgrade request, which Node leaves on the socket. Bytes after its length are not part of it. */
async function readUpgradeBody(
  { headers }: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<[body: Buffer, rest: Buffer]> {
  const length = Number(headers['content-length'] ?? 0);
  if (headers['transfer-encoding'] !== undefined || !(length >= 0 && length <= MAX_BODY_BYTES)) {
    throw new GloveboxError('forbidden', 'A request to upgrade must give the length of its body.');
  }
  let read = head;
  while (read.length < length) {
    const chunk = await nextChunk(socket);
    read = Buffer.concat([read, chunk]);
  }
  return [read.subarray(0, length), read.subarray(length)];
}

function nextChunk(socket: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (use: () => void) => () => {
      socket.pause().off('data', onData).off('close', onEnd).off('end', onEnd);
      use();
    };
    const onData = (chunk: Buffer) => settle(() => resolve(chunk))();
    const onEnd = settle(() => reject(new GloveboxError('invalid_input', 'The request ended early.')));
    socket.on('data', onData).once('close', onEnd).once('end', onEnd).resume();
  });
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    throw new GloveboxError('invalid_input', 'The body is not JSON.', { cause });
  }
}
