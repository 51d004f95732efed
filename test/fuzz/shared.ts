/** What the thread that watches gives the thread that fuzzes. */
export interface FuzzJob {
  readonly target: string;
  readonly task: 'fuzz' | 'keep';
  readonly milliseconds: number;
  readonly seed: number;
  /** The input that is running, in memory of both threads. */
  readonly current: Uint8Array;
  /** Its length, and the number of inputs so far. */
  readonly state: Int32Array;
}

export const LENGTH_AT = 0;
export const TURN_AT = 1;

export interface FuzzResult {
  readonly runs: number;
  /** Inputs of which each reached something new. */
  readonly inputs: number;
  /** Blocks of code that were reached, and how many of them for the first time. */
  readonly reached: number;
  readonly fresh: number;
}
