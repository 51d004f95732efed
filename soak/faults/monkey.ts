import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../random.ts';
import type { Field, Kind } from './field.ts';
import { type Fault, type History, SERVER_STOPPED } from './history.ts';
import type { Plant } from './plant.ts';
import type { Witness } from './witness.ts';

/** Between two faults, once all has recovered from the first. */
const PAUSE_MS = [1000, 12_000] as const;
const DOWN_MS = [0, 3000] as const;
const RECOVERY_LIMIT_MS = 120_000;
const LOOK_EVERY_MS = 50;

export interface MonkeyOptions {
  readonly plant: Plant;
  readonly field: Field;
  readonly witnesses: readonly Witness[];
  readonly history: History;
  readonly random: Random;
  readonly onViolation: (what: string) => void;
}

/** Breaks one thing after the other, and waits each time until everybody is served again. */
export class Monkey {
  readonly counts = new Map<string, number>();
  /** From a fault until every witness had a result again, ms, and which fault it was. */
  longestRecovery = { ms: 0, kind: 'none' };
  readonly #options: MonkeyOptions;
  readonly #kinds: readonly Kind[];

  constructor(options: MonkeyOptions) {
    this.#options = options;
    const { plant, random, field } = options;
    this.#kinds = [...this.#serverKinds(), ...field.kinds({ plant, random, down: () => this.#down() })];
  }

  async rage(signal: AbortSignal): Promise<void> {
    const { random, plant, onViolation } = this.#options;
    while (!signal.aborted) {
      await sleep(random.whole(...PAUSE_MS), undefined, { signal }).catch(() => {});
      if (signal.aborted) return;
      if (plant.hasFailed) {
        onViolation('The server has ended by itself.');
        await plant.start();
      }
      await this.#strike(random.weighted(this.#kinds));
    }
  }

  async #strike({ kind, reach, single, act }: Kind): Promise<void> {
    const { random, history, witnesses } = this.#options;
    const witness = random.pick(witnesses);
    const at = Date.now();
    process.stderr.write(`${new Date(at).toISOString()} ${kind}${single ? ` of ${witness.name}` : ''}\n`);
    const fault: Fault = { kind, reach, at, ...(single ? { witness: witness.index } : {}) };
    history.add(fault);
    await act(witness);
    history.markReady(fault);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    await this.#recovered(kind, at);
  }

  async #recovered(kind: string, at: number): Promise<void> {
    const { witnesses, onViolation } = this.#options;
    const ready = Date.now();
    const late = () => witnesses.filter(({ lastResultAt }) => lastResultAt < ready).map(({ name }) => name);
    while (late().length > 0 && Date.now() < ready + RECOVERY_LIMIT_MS) await sleep(LOOK_EVERY_MS);
    const ms = Date.now() - at;
    if (ms > this.longestRecovery.ms) this.longestRecovery = { ms, kind };
    if (late().length > 0) onViolation(`${late().join(', ')} had no result for ${ms} ms after: ${kind}.`);
  }

  async #down(): Promise<void> {
    await sleep(this.#options.random.whole(...DOWN_MS));
  }

  #serverKinds(): Kind[] {
    const { plant } = this.#options;
    const restart = (end: () => Promise<void>) => async () => {
      await end();
      await this.#down();
      await plant.start();
    };
    return [
      { kind: 'kill -9 of the server', weight: 4, reach: 'calls', act: restart(() => plant.kill()) },
      { kind: SERVER_STOPPED, weight: 2, reach: 'calls', act: restart(() => plant.stop()) },
    ];
  }
}
