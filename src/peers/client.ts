import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { Agent, request as requestOverTls } from 'node:https';
import type { Duplex } from 'node:stream';
import { GloveboxError } from '../errors.ts';
import type { ControlPlane } from '../state/state.ts';
import type { PeerKeys } from './keys.ts';
import { MISDIRECTED, NOT_A_MEMBER } from './listener.ts';
import type { Forwarded, Group, Sought } from './peer.ts';
import { PEER_TLS } from './tls.ts';
import { FORWARDED_HEADER, writeForwarded } from './word.ts';

/** Time in milliseconds for a connection to be made. */
const CONNECT_MS = 5000;
/** Time in milliseconds after which an idle connection is closed, before the other end does. */
const IDLE_MS = 60_000;
const REFUSALS: ReadonlySet<number> = new Set([MISDIRECTED, NOT_A_MEMBER]);
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** A request that nobody has begun to serve. It may be sent again, also to another control plane. */
export class NotBegun extends Error {}

/** A request for another control plane. */
export interface PeerCall {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: OutgoingHttpHeaders;
  readonly forwarded: Forwarded;
  readonly body?: string | AsyncIterable<Uint8Array> | undefined;
  readonly signal: AbortSignal;
}

/** The answer to a request for another protocol. */
export interface Upgraded {
  readonly response: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** How a peer is reached. */
interface PeerConnection {
  readonly agent: Agent;
  readonly host: string;
  readonly port: number;
}

interface Underway {
  readonly peer: ControlPlane;
  readonly request: ClientRequest;
}

/** Sends requests to other control planes of the group, over connections that are kept. */
export class PeerClient implements Disposable {
  readonly #group: Group;
  readonly #keys: PeerKeys;
  /** By the names of both ends. */
  readonly #connections = new Map<string, PeerConnection>();
  readonly #underway = new Set<Underway>();
  readonly #membership: Disposable;

  constructor(group: Group, keys: PeerKeys) {
    this.#group = group;
    this.#keys = keys;
    this.#membership = group.onMembers(() => this.#look());
  }

  /**
   * Sends a request, and resolves with the beginning of its answer.
   * @throws {@link NotBegun}; GloveboxError `session_moved` when it was begun and its end is not known; or the
   *   signal's reason
   */
  async send(peer: ControlPlane, call: PeerCall): Promise<IncomingMessage> {
    const answered = await this.#exchange(peer, call);
    return 'socket' in answered && 'head' in answered ? answered.response : answered;
  }

  /** Sends a request for another protocol. @throws as {@link send} does */
  async upgrade(peer: ControlPlane, call: PeerCall): Promise<Upgraded | IncomingMessage> {
    return await this.#exchange(peer, call);
  }

  /** Asks whether something is at another control plane. One that does not answer has nothing. */
  async has(peer: ControlPlane, owner: string, seeks: Sought, signal: AbortSignal): Promise<boolean> {
    try {
      const call = { method: 'GET', path: '/', headers: {}, forwarded: { owner, seeks }, signal };
      const answered = await this.send(peer, call);
      answered.resume();
      return answered.statusCode === 204;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof NotBegun) return false;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#membership[Symbol.dispose]();
    for (const { request } of this.#underway) request.destroy(endUnknown());
    for (const { agent } of this.#connections.values()) agent.destroy();
    this.#connections.clear();
  }

  #exchange(
    peer: ControlPlane,
    { method, path, headers, forwarded, body, signal }: PeerCall,
  ): Promise<IncomingMessage | Upgraded> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage | Upgraded>();
    /** What only reads may be done twice. All else is begun when the other has said that it takes the body. */
    const isReading = READS.has(method);
    let hasBegun = false;
    const request = requestOverTls({
      ...this.#connectionTo(peer),
      ...{ method, path },
      headers: {
        ...headers,
        [FORWARDED_HEADER]: writeForwarded(forwarded),
        ...(isReading ? {} : { Expect: '100-continue' }),
      },
    });
    const underway = { peer, request };
    this.#underway.add(underway);
    limitConnecting(request);
    const abort = () => request.destroy(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    signal.addEventListener('abort', abort, { once: true });
    const end = () => {
      this.#underway.delete(underway);
      signal.removeEventListener('abort', abort);
    };
    request.once('close', end);
    request.once('continue', () => {
      hasBegun = true;
      void sendBody(request, body);
    });
    request.once('response', (response) => {
      const mayBeAnswered = isReading || hasBegun || forwarded.isStream;
      const isRefused = !mayBeAnswered || (!hasBegun && REFUSALS.has(response.statusCode ?? 0));
      if (isRefused) {
        reject(new NotBegun(`${peer.name} does not serve it.`));
        request.destroy();
        return;
      }
      response.on('error', () => {}); // Whoever reads it is told.
      // Of a body that is not wanted, no more is sent.
      response.once('end', () => request.writableEnded || request.destroy());
      resolve(response);
    });
    request.once('upgrade', (response, socket, head) => {
      end();
      resolve({ response, socket, head });
    });
    request.on('error', (cause) => {
      if (signal.aborted) return reject(signal.reason);
      // The body itself may be at fault.
      if (cause instanceof GloveboxError) return reject(cause);
      reject(hasBegun ? endUnknown(cause) : new NotBegun(`${peer.name} is not reached.`, { cause }));
    });
    if (isReading) request.end();
    else request.flushHeaders();
    return promise;
  }

  #connectionTo(peer: ControlPlane): PeerConnection {
    const { self } = this.#group;
    const pair = `${self.name} ${peer.name}`;
    const known = this.#connections.get(pair);
    if (known) return known;
    const { hostname, port } = new URL(`https://${peer.address}`);
    const psk = this.#keys.keyFor(self.name, peer);
    if (!psk) throw new NotBegun(`The public key of ${peer.name} is none.`);
    const agent = new Agent({
      ...{ ...PEER_TLS, keepAlive: true, maxCachedSessions: 0, timeout: IDLE_MS },
      pskCallback: () => ({ psk, identity: self.name }),
      // There is no certificate, in whose place is the key. As an option of requests it would keep connections from use
      // by others.
      checkServerIdentity: () => undefined,
    });
    const connection = { agent, host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 443 : Number(port) };
    this.#connections.set(pair, connection);
    return connection;
  }

  /** Ends requests to those whose leases have run out: they may hang, and answer never. */
  #look(): void {
    const { others, self } = this.#group;
    const live = new Set(others.map(({ name }) => name));
    for (const { peer, request } of this.#underway)
      if (!live.has(peer.name)) request.destroy(new Error('its lease has run out'));
    for (const [pair, { agent }] of this.#connections) {
      const [from, to = ''] = pair.split(' ');
      if (from === self.name && live.has(to)) continue;
      agent.destroy();
      this.#connections.delete(pair);
    }
  }
}

/** Gives up on a connection that is not made in time. */
function limitConnecting(request: ClientRequest): void {
  request.once('socket', (socket) => {
    if (!('secureConnecting' in socket) || !socket.secureConnecting) return;
    const timer = setTimeout(() => request.destroy(new Error('the connection takes too long')), CONNECT_MS);
    const done = () => clearTimeout(timer);
    socket.once('secureConnect', done);
    request.once('close', done);
  });
}

/** Sends a body as fast as the other end takes it. A body that breaks off ends the request. */
async function sendBody(request: ClientRequest, body: PeerCall['body']): Promise<void> {
  if (body === undefined || typeof body === 'string') {
    request.end(body);
    return;
  }
  try {
    for await (const piece of body) {
      if (request.destroyed) return;
      if (!request.write(piece)) await drained(request);
    }
    request.end();
  } catch (error) {
    request.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

async function drained(request: ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      request.off('drain', done);
      request.off('close', done);
      resolve();
    };
    request.on('drain', done);
    request.on('close', done);
  });
}

/** The error of a call that had begun at a control plane that does not answer any more. */
export function endUnknown(cause?: unknown): GloveboxError {
  const message = 'The server that worked on this call does not answer any more.';
  return new GloveboxError('session_moved', message, { begun: true, cause });
}
