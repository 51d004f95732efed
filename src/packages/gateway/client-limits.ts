import type { GatewayLimits } from '../upstream/limits.ts';

/** Connections and remaining requests of one session. The requests are a token bucket for all its connections. */
export interface ClientState {
  /** Open connections. */
  connections: number;
  /** Requests that the session may send now. */
  tokens: number;
  /** Time of the last refill, in milliseconds since 1970. */
  refilledMs: number;
}

/** Limits of all sessions. A session without connections is forgotten once its bucket would be full again. */
export class ClientLimits {
  readonly #limits: GatewayLimits;
  readonly #states = new Map<string, ClientState>();

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  /** Counts a new connection of a session. Undefined when the session has too many. */
  connect(key: string): ClientState | undefined {
    this.#forgetIdle();
    const state = this.#states.get(key) ?? {
      connections: 0,
      tokens: this.#limits.requestBurst,
      refilledMs: Date.now(),
    };
    if (state.connections >= this.#limits.connectionsPerClient) return undefined;
    state.connections += 1;
    this.#states.set(key, state);
    return state;
  }

  /** Counts a request. False when the session has sent too many. */
  take(state: ClientState): boolean {
    const now = Date.now();
    const refilled = state.tokens + ((now - state.refilledMs) / 1000) * this.#limits.requestsPerSecond;
    state.tokens = Math.min(this.#limits.requestBurst, refilled);
    state.refilledMs = now;
    if (state.tokens < 1) return false;
    state.tokens -= 1;
    return true;
  }

  #forgetIdle(): void {
    const fullAfterMs = (this.#limits.requestBurst / this.#limits.requestsPerSecond) * 1000;
    for (const [key, { connections, refilledMs }] of this.#states) {
      if (connections === 0 && Date.now() - refilledMs > fullAfterMs) this.#states.delete(key);
    }
  }
}
