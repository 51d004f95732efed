export const SERVER_STOPPED = 'SIGTERM of the server';

/** What a fault may cost: the container with its files, its processes alone, or nothing but calls under way. */
export type Reach = 'container' | 'processes' | 'calls';

export interface Fault {
  readonly kind: string;
  readonly reach: Reach;
  /** Milliseconds of `Date.now`. */
  readonly at: number;
  /** When all was up again; undefined until it is. */
  until?: number;
  /** Whom it met; all of them if left out. */
  readonly witness?: number;
}

/** What was done to the server, the engine and the containers, and when they were ready again. */
export class History {
  readonly faults: Fault[] = [];
  readonly #ready: number[] = [Date.now()];

  add(fault: Fault): void {
    this.faults.push(fault);
  }

  /** Everything is up again from now on. */
  markReady(fault: Fault): void {
    fault.until = Date.now();
    this.#ready.push(fault.until);
  }

  /** The first one that reached so far, at a moment or after it. */
  firstSince(at: number, witness: number, reach: readonly Reach[]): Fault | undefined {
    return this.#since(at).find((fault) => reach.includes(fault.reach) && (fault.witness ?? witness) === witness);
  }

  /** Whether the server was told to stop, at a moment or after it. */
  wasStoppedSince(at: number): boolean {
    return this.#since(at).some(({ kind }) => kind === SERVER_STOPPED);
  }

  /**
   * How long a checkpoint could have been made of what was written: a server that is down makes none.
   * @param until when it was lost
   */
  chanceMs(writtenAt: number, until: number): number {
    const ready = Math.max(...this.#ready.filter((at) => at <= until));
    return until - Math.max(writtenAt, ready);
  }
  #since(at: number): Fault[] {
    return this.faults.filter(({ until = Number.POSITIVE_INFINITY }) => until >= at);
  }
}
