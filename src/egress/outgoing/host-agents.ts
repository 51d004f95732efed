import { Agent, type ClientRequestArgs } from 'node:http';
import { type Duplex, PassThrough } from 'node:stream';
import { lendPieces } from '../../lib/sockets/piece-reader.ts';
import type { Connector } from './connector.ts';
import type { Destination } from './destination.ts';

/** Connections of one execution that wait for another request. */
const MOST_FREE = 16;
/** Time for which they wait, in milliseconds. */
const FREE_MS = 10_000;

/** Options of a request, by which its agent finds or opens a connection. */
export interface AgentOptions extends ClientRequestArgs {
  readonly destination: Destination;
  /** Proxy of this machine that gets the request as a whole. */
  readonly via: URL | undefined;
  /** Ends the opening of a connection: one that nobody waits for is not to be opened. */
  readonly opening: AbortSignal;
}

/** Connections of one execution to hosts. They are used again by no other one, whose answers a host could mix up. */
export class HostAgents implements Disposable {
  readonly #plain: HostAgent;
  readonly #secure: HostAgent;

  constructor(connector: Connector, signal: AbortSignal) {
    this.#plain = new HostAgent(connector);
    this.#secure = new HostAgent(connector);
    signal.addEventListener('abort', () => this[Symbol.dispose](), { once: true });
  }

  for({ isTls }: Destination): Agent {
    return isTls ? this.#secure : this.#plain;
  }

  [Symbol.dispose](): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }
}

class HostAgent extends Agent {
  readonly #connector: Connector;

  constructor(connector: Connector) {
    super({ keepAlive: true, maxFreeSockets: MOST_FREE, timeout: FREE_MS });
    this.#connector = connector;
  }

  override createConnection(
    { destination, via, opening: signal }: AgentOptions,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    this.#closeFree();
    const opening = via ? this.#connector.openProxy(via, signal) : this.#connector.open(destination, signal);
    opening.then(
      (socket) => {
        lendPieces(socket);
        callback?.(null, socket);
      },
      // Of the two, only the error is looked at then.
      (error: Error) => callback?.(error, new PassThrough()),
    );
  }

  /** Closes those that wait for longest, so that the new one does not make them too many. */
  #closeFree(): void {
    const free = Object.values(this.freeSockets).flatMap((sockets) => sockets ?? []);
    for (const socket of free.slice(0, Math.max(0, free.length - MOST_FREE + 1))) socket.destroy();
  }
}
