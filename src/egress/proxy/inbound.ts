import type { Duplex } from 'node:stream';
import type { Grant } from '../grants.ts';
import { BadRequest, limitMet, Refused } from '../refusal.ts';
import type { Exchange } from '../usage.ts';

/** A connection of code to the proxy. It belongs to the first grant that it shows, and ends with it. */
export class Inbound {
  readonly session: { readonly owner: string; readonly id: string };
  /** The session as one text. */
  readonly key: string;
  readonly stream: Duplex;
  readonly #gone = new AbortController();
  #grant: Grant | undefined;
  #leave: (() => void) | undefined;
  readonly #exchanges = new Map<Exchange, (reason: Refused) => void>();
  /** Requests that are not answered yet. */
  running = 0;
  /** Resolves when the last one of them is answered. */
  answered: Promise<void> = Promise.resolve();
  /** Time of `performance.now()` when a byte moved last. */
  lastActiveAt = performance.now();

  constructor(stream: Duplex, session: Inbound['session'], key: string) {
    this.key = key;
    this.stream = stream;
    this.session = session;
    stream.once('close', () => this.#close());
  }

  /** Aborts when the connection is over, or its execution. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Whether its execution is over. */
  get isCut(): boolean {
    return this.#grant?.signal.aborted ?? false;
  }

  touch(): void {
    this.lastActiveAt = performance.now();
  }

  /** Takes the grant of a request, which is always the same one. @throws BadRequest; Refused `limit` */
  use(grant: Grant, host: string, port: number): void {
    if (this.#grant === grant) return;
    if (this.#grant) throw new BadRequest(403, 'This connection belongs to another token: open a new one');
    const entered = grant.enter(host, port);
    if (entered instanceof Refused) throw entered;
    const cut = () => this.stream.destroy();
    grant.signal.addEventListener('abort', cut, { once: true });
    this.#grant = grant;
    this.#leave = () => {
      grant.signal.removeEventListener('abort', cut);
      entered();
    };
    if (this.stream.destroyed) this.#close();
  }

  /** Notes an exchange, for which there is something to do if no byte moves for too long. */
  begin(exchange: Exchange, onIdle: (reason: Refused) => void): void {
    this.touch();
    this.#exchanges.set(exchange, onIdle);
  }

  finish(exchange: Exchange): void {
    this.#exchanges.delete(exchange);
  }

  /** Ends the connection if no byte has moved for that time. */
  endIfIdle(idleMs: number): void {
    if (performance.now() - this.lastActiveAt < idleMs) return;
    if (this.#exchanges.size === 0) {
      if (this.running === 0) this.stream.destroy();
      return;
    }
    for (const [exchange, onIdle] of this.#exchanges) {
      const refused = idleFor(exchange, idleMs);
      this.#grant?.usage.noteLimit(refused);
      onIdle(refused);
    }
    this.touch();
  }

  #close(): void {
    this.#gone.abort();
    this.#leave?.();
    this.#leave = undefined;
  }
}

function idleFor({ facts: { host, port } }: Exchange, idleMs: number): Refused {
  const seconds = idleMs / 1000;
  const setting = 'a host that sends something sooner, or GLOVEBOX_EGRESS_IDLE_S where the server is set up';
  const message = `No byte came or went for ${seconds} s. The operator sets GLOVEBOX_EGRESS_IDLE_S.`;
  return limitMet(host, port, message, { name: 'egress_idle_s', value: seconds, setting });
}
