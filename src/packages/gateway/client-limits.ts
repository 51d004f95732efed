import type { GatewayLimits } from '../upstream/limits.ts';

/** What a sandbox may still ask, over all its connections: a bucket of requests that refills steadily. */
export interface ClientState {
  connections: number;
  tokens: number;
  refilledMs: number;
}

/** The states of all sessions. One without connections is forgotten when its bucket would be full again. */
export class ClientLimits {
  readonly #limits: GatewayLimits;
  readonly #states = new Map<string, ClientState>();

  constructor(limits: GatewayLimits) {
    this.#limits = limits;
  }

  /** Undefined when the session has too many connections. */
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

  /** Whether one more request is within the bounds. */
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
