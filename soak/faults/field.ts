import type { Random } from '../random.ts';
import type { Reach } from './history.ts';
import type { Plant } from './plant.ts';
import type { Witness } from './witness.ts';

/** One way to break something, after which all is up again. */
export interface Kind {
  readonly kind: string;
  readonly weight: number;
  readonly reach: Reach;
  /** Whether it meets one session alone. */
  readonly single?: boolean;
  act(witness: Witness): Promise<void>;
}

export interface Breaker {
  readonly plant: Plant;
  readonly random: Random;
  /** Waits for as long as something stays broken. */
  down(): Promise<void>;
}

/** An engine with the sandboxes of a server on it, to be broken. Disposing of it removes what was set up for it. */
export interface Field extends AsyncDisposable {
  /** Settings by which the server finds it. */
  readonly env: Readonly<Record<string, string>>;
  kinds(breaker: Breaker): Kind[];
  /** Sandboxes that there still are once the engine has had a moment to finish what it was told, in sentences. */
  leftovers(): Promise<string[]>;
  removeAll(): Promise<void>;
}
