import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { GloveboxError } from '../errors.ts';
import { continueWhenRead } from '../lib/sockets/continue-when-read.ts';
import type { PeerKeys } from './keys.ts';
import type { Forwarded, Group } from './peer.ts';
import { PEER_TLS } from './tls.ts';
import { readForwarded } from './word.ts';

/** Time in milliseconds for a peer to prove who it is. */
const HANDSHAKE_MS = 10_000;
/** Time in milliseconds for which a connection may be idle. The other end closes it earlier. */
const IDLE_MS = 75_000;

/** What a control plane does with requests that others pass on to it. */
export interface PeerService {
  /** Whether a request may be served here and now. If not, its sender looks anew for who serves it. */
  mayServe(forwarded: Forwarded): boolean;
  /** Whether what is sought is here. */
  has(forwarded: Forwarded): boolean;
  serve(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** The port on which other control planes reach this one. Disposing of it closes it. */
export interface PeerListener extends AsyncDisposable {
  /** `host:port` */
  readonly address: string;
  /** Lets the members of a group in. Until then, nobody is. */
  serve(group: Group, service: PeerService): void;
  /** Waits up to `graceMs` milliseconds for requests under way, then closes all connections. */
  close(graceMs?: number): Promise<void>;
}

interface Serving {
  readonly group: Group;
  readonly service: PeerService;
}

/**
 * Listens for other control planes.
 * @param port 0 picks a free one
 * @throws GloveboxError `invalid_input` when the address cannot be used
 */
export async function listenForPeers(
  { host, port }: { readonly host: string; readonly port: number },
  keys: PeerKeys,
): Promise<PeerListener> {
  let serving: Serving | undefined;
  /** Names of those at the other ends of connections. */
  const names = new WeakMap<object, string>();
  const server = createServer({
    ...PEER_TLS,
    handshakeTimeout: HANDSHAKE_MS,
    pskCallback: (socket: TLSSocket, identity: string) => {
      const other = serving?.group.others.find(({ name }) => name === identity);
      if (!serving || !other) return null;
      names.set(socket, identity);
      return keys.keyFor(serving.group.self.name, other) ?? null;
    },
  });
  server.keepAliveTimeout = IDLE_MS;
  // An upload, or the input of a program, may take any time. Its sender has limits of its own.
  server.requestTimeout = 0;
  const admit = (request: IncomingMessage): Admission => admitted(request, serving, names.get(request.socket));
  server.on('request', (request, response) => answer(request, response, admit(request)));
  server.on('checkContinue', (request, response) => {
    const found = admit(request);
    if (!('service' in found)) response.writeHead(found.refusal, { Connection: 'close' }).end();
    else if (found.isStream) answerStream(request, response, found.service);
    else void answerWithBody(request, response, found.service);
  });
  server.on('upgrade', (request, socket, head) => {
    const found = admit(request);
    if ('service' in found) return found.service.upgrade(request, socket, head);
    socket.on('error', () => socket.destroy());
    socket.end(`HTTP/1.1 ${found.refusal} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
  });
  await bind(server, host, port);
  const { port: actual } = server.address() as AddressInfo;
  const close = async (graceMs = 0) => {
    const timer = setTimeout(() => server.closeAllConnections(), graceMs);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    clearTimeout(timer);
  };
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${actual}`,
    serve: (group, service) => {
      serving = { group, service };
    },
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

/** Who serves a request, or the status that refuses it. */
type Admission = { readonly refusal: number } | { readonly service: PeerService; readonly isStream: boolean };

/** @param name of the control plane at the other end of its connection */
function admitted(request: IncomingMessage, serving: Serving | undefined, name: string | undefined): Admission {
  // The lease of one that was let in may have run out since.
  if (!serving?.group.others.some((other) => other.name === name)) return { refusal: NOT_A_MEMBER };
  const forwarded = readForwarded(request.headers);
  if (!forwarded) return { refusal: 400 };
  const { group, service } = serving;
  if (!group.isValid) return { refusal: MISDIRECTED };
  if (forwarded.seeks) return { refusal: service.has(forwarded) ? 204 : 404 };
  return service.mayServe(forwarded) ? { service, isStream: forwarded.isStream === true } : { refusal: MISDIRECTED };
}

/** Status of a request of one whose lease has run out. */
export const NOT_A_MEMBER = 403;
/** Status of a request that was not begun, because it is not served here (RFC 9110). */
export const MISDIRECTED = 421;

function answer(request: IncomingMessage, response: ServerResponse, found: Admission): void {
  if ('service' in found) found.service.serve(request, response);
  else response.writeHead(found.refusal).end();
}

/**
 * Serves a request once the first of its body has come, or that there is none. The sender sends that when it is told to:
 * so whoever was not told knows that nothing has begun.
 */
async function answerWithBody(request: IncomingMessage, response: ServerResponse, service: PeerService): Promise<void> {
  response.writeContinue();
  try {
    await Promise.race([once(request, 'readable'), once(request, 'close')]);
  } catch {
    return; // The sender has gone.
  }
  if (!request.destroyed || request.readableEnded) service.serve(request, response);
}

/** Serves a request whose body is read as it comes. Nothing that counts is done before it is asked for. */
function answerStream(request: IncomingMessage, response: ServerResponse, service: PeerService): void {
  continueWhenRead(request, response);
  service.serve(request, response);
}

async function bind(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException) =>
      reject(
        new GloveboxError(
          'invalid_input',
          `Cannot listen for other control planes on ${host}:${port}: ${cause.code}.`,
          {
            hint: 'GLOVEBOX_PEER_ADDRESS is an address of this machine or pod, and GLOVEBOX_PEER_PORT a free port, or 0.',
            cause,
          },
        ),
      );
    server.once('error', fail);
    server.listen(port, host, () => {
      server.off('error', fail);
      resolve();
    });
  });
}
