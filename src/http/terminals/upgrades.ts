import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { WebSocket, WebSocketServer } from 'ws';
import { type GloveboxError, toGloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Upgraded } from '../../peers/client.ts';
import { type JoinedSockets, joinSockets } from '../peers/join-sockets.ts';
import { errorResponse } from '../respond.ts';
import type { Env } from '../route.ts';

/** Subprotocol of the messages. */
const PROTOCOL = 'glovebox.terminal';
/** Subprotocol that carries a key in base64url, for browsers, which can send no headers. */
const KEY_PROTOCOL = 'glovebox.key.';
/** Where there are WebSockets. */
const ATTACH = /^\/sessions\/[^/?#]+\/terminals\/[^/?#]+\/attach(\?|$)/;
/** Most bytes of one message. */
const MOST_BYTES = 256 * 1024;
/** Code of the end of a connection whose key or token is no longer valid; 4000 to 4999 are for servers to choose (RFC 6455). */
const LOGIN_ENDED = 4401;
const LOGIN_ENDED_REASON = 'the key or token is no longer valid';
/** Time in milliseconds for a viewer to answer that the connection ends. */
const CLOSE_MS = 1000;
const GOING_AWAY = 1001;

/** Answers a request as the app does. */
type Fetch = (request: Request, env: Env['Bindings']) => Response | Promise<Response>;

/** Takes requests for another protocol from an HTTP server. @param given what is known of it already */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, given?: Env['Bindings']) => void;

export interface UpgradesOptions {
  readonly fetch: Fetch;
  readonly log: Log;
  /** Aborts when the server shuts down. */
  readonly closing: AbortSignal;
}

/**
 * Takes requests for a WebSocket. Each is answered by the app like any other request, with its guard, keys and limits;
 * only then, and only if the route agrees, it becomes a WebSocket.
 */
export function createUpgrades({ fetch, log, closing }: UpgradesOptions): OnUpgrade {
  const open = new Set<WebSocket>();
  closing.addEventListener('abort', () => open.forEach(goAway), { once: true });
  return (request, socket, head, given) => {
    socket.on('error', () => socket.destroy());
    void answer(request, socket, head, given).catch((error: unknown) => {
      log.error('A request for a WebSocket failed.', { cause: error });
      socket.destroy();
    });
  };

  async function answer(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    given?: Env['Bindings'],
  ): Promise<void> {
    let accepted: ((opened: WebSocket) => void) | undefined;
    let passed: Upgraded | undefined;
    const upgrade = {
      accept: (use: (opened: WebSocket) => void) => {
        accepted = use;
      },
      passOn: (upgraded: Upgraded) => {
        passed = upgraded;
      },
    };
    const outgoing = new UpgradedAnswer(socket);
    const env = { ...given, upgrade, outgoing };
    const response = await toResponse(() => fetch(toRequest(request), env));
    if (passed) {
      outgoing.joined = joinSockets(socket, head, passed, closing);
      return;
    }
    if (socket.destroyed) return;
    const use = accepted;
    if (!use || response.status !== 204) return await refuse(socket, response);
    const sockets = await webSockets();
    sockets.handleUpgrade(request, socket, head, (opened) => {
      open.add(opened);
      outgoing.opened = opened;
      opened.once('close', () => open.delete(opened));
      use(opened);
      if (closing.aborted) goAway(opened);
    });
  }
}

function goAway(socket: WebSocket): void {
  close(socket, GOING_AWAY, 'the server stops');
}

function close(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason);
  setTimeout(() => socket.terminate(), CLOSE_MS).unref();
}

/** The answer to a request for a WebSocket, which says why it ends once it is one. */
class UpgradedAnswer implements NonNullable<Env['Bindings']['outgoing']> {
  opened: WebSocket | undefined;
  /** Set instead if it is one of another control plane. */
  joined: JoinedSockets | undefined;
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  get writableNeedDrain(): boolean {
    return this.#socket.writableNeedDrain;
  }

  once(event: 'close', listener: () => void): void {
    this.#socket.once(event, listener);
  }

  /** Called when its key or token is no longer valid. */
  destroy(): void {
    if (this.opened) close(this.opened, LOGIN_ENDED, LOGIN_ENDED_REASON);
    else if (this.joined) this.joined.close(LOGIN_ENDED, LOGIN_ENDED_REASON);
    else this.#socket.destroy();
  }
}

let loaded: WebSocketServer | undefined;

/** Loaded with the first request: few servers ever need it. */
async function webSockets(): Promise<WebSocketServer> {
  const { WebSocketServer: Sockets } = await import('ws');
  loaded ??= new Sockets({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // `ControlPace` answers pings.
    autoPong: false,
    maxPayload: MOST_BYTES,
    // A key is not repeated in the answer.
    handleProtocols: (offered) => (offered.has(PROTOCOL) ? PROTOCOL : false),
  });
  return loaded;
}

async function toResponse(fetch: () => Response | Promise<Response>): Promise<Response> {
  try {
    return await fetch();
  } catch (error) {
    const known: GloveboxError = toGloveboxError(error);
    return errorResponse(known);
  }
}

/** The same request for the app, with the key of a browser where others send it. */
function toRequest({ method = 'GET', url = '/', rawHeaders }: IncomingMessage): Request {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = [rawHeaders[at], rawHeaders[at + 1]];
    headers.append(name, value);
  }
  const offered = (headers.get('sec-websocket-protocol') ?? '').split(',').map((name) => name.trim());
  for (const name of offered) {
    if (!name.startsWith(KEY_PROTOCOL)) continue;
    const key = Buffer.from(name.slice(KEY_PROTOCOL.length), 'base64url').toString('latin1');
    // One that is no header is no key either.
    headers.append('x-api-key', /^[\x21-\x7e]+$/.test(key) ? key : 'none');
  }
  return new Request(new URL(url, 'http://localhost'), { method, headers });
}

/** Sends an answer, after which the connection ends. */
async function refuse(socket: Duplex, response: Response): Promise<void> {
  const body = Buffer.from(await response.arrayBuffer());
  const headers = new Headers(response.headers);
  headers.set('connection', 'close');
  headers.set('content-length', String(body.length));
  const lines = [...headers].map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const { STATUS_CODES } = process.getBuiltinModule('node:http');
  socket.write(`HTTP/1.1 ${response.status} ${STATUS_CODES[response.status] ?? ''}\r\n${lines}\r\n`);
  socket.end(body);
}

/**
 * Has a server pass on requests for the WebSocket of a terminal. All others that offer another protocol, such as HTTP/2,
 * are answered as if they had not: that is what Node does as long as nobody takes upgrades.
 */
export function passUpgrades(server: Server, onUpgrade: OnUpgrade): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { method, url = '', headers } = request;
    const isWanted = method === 'GET' && ATTACH.test(url) && headers.upgrade?.toLowerCase() === 'websocket';
    if (isWanted) onUpgrade(request, socket, head);
    else answerWithout(server, request, socket, head);
  });
}

/** Has the server read a request again, without the offer of another protocol. */
function answerWithout(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request;
  let lines = `${method} ${url} HTTP/${httpVersion}\r\n`;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase();
    if (name !== 'upgrade' && name !== 'http2-settings')
      lines += `${rawHeaders[at]}: ${without(name, rawHeaders[at + 1] ?? '')}\r\n`;
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines}\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

function without(name: string, value: string): string {
  if (name !== 'connection') return value;
  const options = value.split(',').map((option) => option.trim());
  return options.filter((option) => !['upgrade', 'http2-settings'].includes(option.toLowerCase())).join(', ');
}
