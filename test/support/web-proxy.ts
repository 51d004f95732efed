import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import { createServer, type Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { Registry } from 'prom-client';
import { Egress, type EgressOptions } from '../../src/egress/egress.ts';
import { openProxy } from '../../src/egress/open-proxy.ts';
import type { WebGrant, WebRequest } from '../../src/egress/web-access.ts';
import { createLog } from '../../src/log.ts';

const SESSION = { owner: 'alice', id: 'ses_1' } as const;
const REQUEST = { owner: 'alice', sessionId: 'ses_1', executionId: 'exe_1' } as const;

/** Proxy of a test at a port of the loopback, as the code of one session sees it. */
export class TestProxy implements AsyncDisposable {
  readonly egress: Egress;
  readonly registry: Registry;
  readonly lines: string[];
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  /** Session whose code connects. */
  session: { owner: string; id: string } = { ...SESSION };

  private constructor(egress: Egress, registry: Registry, lines: string[]) {
    this.egress = egress;
    this.registry = registry;
    this.lines = lines;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#serve(socket));
  }

  static async open(options: Partial<EgressOptions> & Pick<EgressOptions, 'patterns'>): Promise<TestProxy> {
    const registry = new Registry();
    const lines: string[] = [];
    const egress = new Egress({
      privateNetworks: ['127.0.0.0/8', '::1'],
      bounds: { bytes: 2 ** 30, connections: 64, connectionsPerOwner: 256, idleMs: 60_000 },
      hosts: { proxy: {} },
      openProxy,
      registry,
      log: createLog('debug', (line) => lines.push(line)),
      ...options,
    });
    const proxy = new TestProxy(egress, registry, lines);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : 0;
  }

  /** Opens a grant that reaches something. */
  grant(request: Partial<WebRequest> = {}): WebGrant & { readonly token: string } {
    const grant = this.egress.access.open({ ...REQUEST, ...request });
    if (!grant) throw new Error('it may reach nothing');
    return grant;
  }

  /** Address of the proxy with a token, as its variables have it. */
  url(token: string): string {
    return `http://glovebox:${token}@127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.egress[Symbol.dispose]();
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  /** What serves code is no socket, but a stream. */
  #serve(socket: Socket): void {
    this.#open.add(socket);
    socket.on('close', () => this.#open.delete(socket));
    this.egress.connect(streamOver(socket), this.session);
  }
}

/** A stream that is no socket, and like a tunnel does not read what is written into it after it has told that it is. */
function streamOver(socket: Socket): Duplex {
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, done),
    final: (done) => {
      socket.end();
      done();
    },
    destroy: (error, done) => {
      // What was written before its end is still on its way.
      if (!stream.writableFinished) socket.destroy();
      done(error);
    },
  });
  stream.on('error', () => {});
  socket.on('data', (chunk) => {
    if (!stream.push(chunk)) socket.pause();
  });
  socket.on('end', () => stream.push(null));
  socket.on('error', () => stream.destroy());
  socket.on('close', () => {
    if (!socket.readableEnded) stream.destroy();
  });
  return stream;
}

/** Header by which code shows a token. */
export function showing(token: string): string {
  return `Proxy-Authorization: Basic ${Buffer.from(`glovebox:${token}`).toString('base64')}\r\n`;
}

/** Sends bytes to a port, and reads until the connection ends or `isEnough`. */
export async function talk(port: number, text: string | Buffer, isEnough?: (got: string) => boolean): Promise<string> {
  const socket = new Socket({ allowHalfOpen: true });
  socket.connect(port, '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text);
  let got = '';
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.on('data', (chunk) => {
    got += chunk.toString('latin1');
    if (isEnough?.(got)) resolve();
  });
  socket.on('close', () => resolve());
  socket.on('end', () => resolve());
  await promise;
  socket.destroy();
  return got;
}

/** Resolver that answers with the addresses of a list, one after the other, and counts. */
export function lyingResolver(answers: Readonly<Record<string, readonly (readonly string[])[]>>): {
  readonly resolve: LookupFunction;
  readonly asked: string[];
} {
  const asked: string[] = [];
  const resolve: LookupFunction = (name, _options, callback) => {
    const times = asked.filter((before) => before === name).length;
    asked.push(name);
    const list = answers[name];
    const addresses = list?.[Math.min(times, list.length - 1)];
    if (!addresses) return callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), []);
    callback(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    );
  };
  return { resolve, asked };
}
