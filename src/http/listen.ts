import { type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import { GloveboxError } from '../errors.ts';
import type { Env } from './route.ts';

/** As long as a transfer may take in the sandbox. */
const LONGEST_REQUEST_MS = 3_600_000;

export interface Listening {
  readonly url: string;
  /** Of all ports, the first one's first. */
  readonly urls: readonly string[];
  readonly port: number;
  /** Takes no new connections, waits up to `graceMs` for the requests under way, then cuts off the rest. */
  close(graceMs?: number): Promise<void>;
}

interface Address {
  readonly host: string;
  readonly port: number;
  readonly alsoPorts?: readonly number[];
}

/** @throws GloveboxError `invalid_input` when the address cannot be listened on; then nothing listens. */
export async function listen(app: Hono<Env>, { host, port, alsoPorts = [] }: Address): Promise<Listening> {
  const first = await listenOn(app, host, port);
  const all = [first];
  const close = async (graceMs?: number) => void (await Promise.all(all.map((each) => each.close(graceMs))));
  try {
    for (const other of new Set(alsoPorts)) if (other !== first.port) all.push(await listenOn(app, host, other));
  } catch (error) {
    await close();
    throw error;
  }
  return { url: first.url, urls: all.map(({ url }) => url), port: first.port, close };
}

async function listenOn(app: Hono<Env>, host: string, port: number): Promise<Omit<Listening, 'urls'>> {
  const server = createAdaptorServer({ fetch: app.fetch });
  // Longer than a proxy's or a client's pool keeps a connection: whoever closes first must not be us.
  if ('keepAliveTimeout' in server) server.keepAliveTimeout = 75_000;
  // Files of any size come over slow lines too; Node's own limit for a whole request is 5 minutes.
  if ('requestTimeout' in server) server.requestTimeout = LONGEST_REQUEST_MS;
  if ('keepAliveTimeout' in server) {
    continueWhenRead(server as Server);
    answerUnreadable(server as Server);
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(host, port, cause)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const close = (graceMs = 0) =>
    new Promise<void>((resolve) => {
      const cut = () => 'closeAllConnections' in server && server.closeAllConnections();
      const timer = setTimeout(cut, graceMs);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return { url: `http://${shown}:${address.port}`, port: address.port, close };
}

/**
 * Has a client that asks for it (`Expect: 100-continue`) send its body only once somebody reads it:
 * what is refused by its head alone never comes, and its connection is not used again.
 */
function continueWhenRead(server: Server): void {
  server.on('checkContinue', (incoming, outgoing) => {
    const { shouldKeepAlive } = outgoing;
    outgoing.shouldKeepAlive = false;
    const read = incoming._read;
    incoming._read = (size) => {
      incoming._read = read;
      if (!outgoing.headersSent) {
        outgoing.shouldKeepAlive = shouldKeepAlive;
        outgoing.writeContinue();
      }
      read.call(incoming, size);
    };
    server.emit('request', incoming, outgoing);
  });
}

/** Statuses of what is no request that a route could get, by Node's codes; 400 for any other. */
const UNREADABLE: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The head of the request is too long.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not come to its end in time.'],
};

/** Answers what is no HTTP, or too long or slow a head, as any other error is answered. */
function answerUnreadable(server: Server): void {
  const answers = new WeakMap<Duplex, ServerResponse>();
  server.on('request', ({ socket }, answer) => void answers.set(socket, answer));
  server.on('clientError', (cause: NodeJS.ErrnoException, socket) => {
    const [status, message] = UNREADABLE[cause.code ?? ''] ?? [400, 'This is no HTTP request.'];
    const answer = answers.get(socket);
    const isAnswering = answer?.headersSent && !answer.writableFinished;
    if (cause.code === 'ECONNRESET' || !socket.writable || isAnswering) {
      socket.destroy();
      return;
    }
    const code = status === 408 ? 'request_timeout' : 'invalid_input';
    const body = JSON.stringify({ error: new GloveboxError(code, message).toRestBody() });
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n`;
    socket.end(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
  });
}

function cannotListen(host: string, port: number, cause: NodeJS.ErrnoException): GloveboxError {
  const reason = cause.code === 'EADDRINUSE' ? 'the port is taken' : (cause.code ?? 'the system refuses');
  return new GloveboxError('invalid_input', `Cannot listen on ${host}:${port}: ${reason}.`, {
    hint: 'Choose another with --host and --port; port 0 picks a free one.',
    cause,
  });
}
