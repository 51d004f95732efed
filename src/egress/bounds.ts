/** Bounds of what code moves through the web. */
export interface WebBounds {
  /** Bytes that one execution may send, and as many that it may receive. */
  readonly bytes: number;
  /** Connections of one execution at once. */
  readonly connections: number;
  /** Connections of one owner at once. */
  readonly connectionsPerOwner: number;
  /** Time in milliseconds after which a connection is cut on which no byte moves. */
  readonly idleMs: number;
}

/** Counts the connections of each owner, and refuses those beyond the bound. */
export class OwnerConnections {
  readonly #most: number;
  readonly #open = new Map<string, number>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Counts a connection until the returned function is called. Undefined if the owner has too many. */
  enter(owner: string): (() => void) | undefined {
    const open = this.#open.get(owner) ?? 0;
    if (open >= this.#most) return undefined;
    this.#open.set(owner, open + 1);
    return () => {
      const left = (this.#open.get(owner) ?? 1) - 1;
      if (left > 0) this.#open.set(owner, left);
      else this.#open.delete(owner);
    };
  }
}
