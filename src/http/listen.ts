import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { GloveboxError } from '../errors.ts';
import { continueWhenRead } from '../lib/sockets/continue-when-read.ts';
import { StartingRequests } from './starting-requests.ts';
import { type OnUpgrade, passUpgrades } from './terminals/upgrades.ts';

// An import of this module reads all that it exports: also its WebSocket, for which Node loads its client of HTTP, which
// takes longer than all that is needed to listen.
const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');

/** Time for a whole request in milliseconds, the same as the limit of a transfer in the sandbox. */
const LONGEST_REQUEST_MS = 3_600_000;

/** Time in milliseconds for refusals to be sent when a server stops before it serves. */
const REFUSAL_MS = 1000;

/** Ports on which a server listens, and may still be starting. Disposing of it closes them, unless that was done. */
export interface Listening extends AsyncDisposable {
  readonly url: string;
  /** URLs of all ports, in their order. */
  readonly urls: readonly string[];
  readonly port: number;
  /**
   * Passes requests to a listener. Until then they wait, except `GET /health`, which is told that the server starts.
   * @param onUpgrade takes requests for a WebSocket; default: there is none
   */
  serve(listener: RequestListener, onUpgrade?: OnUpgrade): void;
  /** Stops accepting connections, waits up to `graceMs` milliseconds for running requests, then closes the others. */
  close(graceMs?: number): Promise<void>;
}

interface Address {
  readonly host: string;
  readonly port: number;
  readonly alsoPorts?: readonly number[];
}

/**
 * Listens on a host and one or more ports.
 * @throws GloveboxError `invalid_input` when one of them cannot be used; then none is
 */
export async function listen({ host, port, alsoPorts = [] }: Address): Promise<Listening> {
  const requests = new StartingRequests();
  const servers: Server[] = [];
  const first = await listenOn(requests.listener, host, port, servers);
  const all = [first];
  const close = async (graceMs?: number) => {
    requests.stop();
    await Promise.all(all.map((each) => each.close(graceMs)));
  };
  try {
    for (const other of new Set(alsoPorts))
      if (other !== first.port) all.push(await listenOn(requests.listener, host, other, servers));
  } catch (error) {
    await close();
    throw error;
  }
  const { url, port: actual } = first;
  const urls = all.map((each) => each.url);
  const serve: Listening['serve'] = (listener, onUpgrade) => {
    requests.serve(listener);
    if (onUpgrade) for (const server of servers) passUpgrades(server, onUpgrade);
  };
  return { url, urls, port: actual, serve, close, [Symbol.asyncDispose]: () => close(REFUSAL_MS) };
}

async function listenOn(
  listener: RequestListener,
  host: string,
  port: number,
  servers: Server[],
): Promise<Pick<Listening, 'url' | 'port' | 'close'>> {
  const server = createServer(listener);
  // Longer than the timeouts of proxies and client pools: if the server closes first, a request can be lost.
  server.keepAliveTimeout = 75_000;
  // Large files may arrive over slow connections. Node's default for a whole request is 5 minutes.
  server.requestTimeout = LONGEST_REQUEST_MS;
  servers.push(server);
  server.on('checkContinue', (incoming, outgoing) => {
    continueWhenRead(incoming, outgoing);
    server.emit('request', incoming, outgoing);
  });
  answerUnreadable(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen(host, port, cause)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const close = (graceMs = 0) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      server.close(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return { url: `http://${shown}:${address.port}`, port: address.port, close };
}

/** Answers to requests that cannot be parsed, by Node's error codes; 400 for any other code. */
const UNREADABLE: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers of the request are too long.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request was not complete in time.'],
};

/** Answers invalid HTTP, and headers that are too long or too slow, in the form of all other errors. */
function answerUnreadable(server: Server): void {
  const answers = new WeakMap<Duplex, ServerResponse>();
  server.on('request', ({ socket }, answer) => void answers.set(socket, answer));
  server.on('clientError', (cause: NodeJS.ErrnoException, socket) => {
    const [status, message] = UNREADABLE[cause.code ?? ''] ?? [400, 'This is not an HTTP request.'];
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
  const reason = cause.code === 'EADDRINUSE' ? 'the port is in use' : (cause.code ?? 'unknown error');
  return new GloveboxError('invalid_input', `Cannot listen on ${host}:${port}: ${reason}.`, {
    hint: 'Choose another address with --host and --port. Port 0 picks a free port.',
    cause,
  });
}
