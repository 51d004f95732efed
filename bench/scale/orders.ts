/** A session as the simulation names it. */
export interface Named {
  readonly owner: string;
  readonly id: string;
}

/** A new session with the sandbox that it has. */
export interface Given extends Named {
  readonly key: string;
  readonly ref: string;
}

/** What a simulated control plane is told to do. */
export type Order =
  | { readonly do: 'create'; readonly sessions: readonly Given[]; readonly atOnce: number }
  /** Writes the state of sessions that it holds, so many a second. */
  | { readonly do: 'save'; readonly perSecond: number; readonly seconds: number }
  | { readonly do: 'release' | 'claim' | 'remove'; readonly sessions: readonly Named[]; readonly atOnce: number }
  /** Claims what a run held, as soon as that is known to be dead: each n-th session, from `first` on. */
  | {
      readonly do: 'take over';
      readonly from: string;
      readonly first: number;
      readonly each: number;
      readonly atOnce: number;
    }
  /** Lists all sandboxes, as at a start. */
  | { readonly do: 'list' | 'use' };

/** What it answers. Times are in milliseconds, moments since 1970. */
export interface Done {
  readonly times: readonly number[];
  /** What could not be done. */
  readonly failures: readonly string[];
  readonly began: number;
  readonly ended: number;
  readonly residentMb: number;
  readonly cpuMs: number;
}

/** What it says once it has joined. */
export interface Joined {
  readonly name: string;
  /** Milliseconds from the first request until all sessions and sandboxes are known. */
  readonly tookMs: number;
}
