import { Violation } from './calls.ts';
import { createRandom } from './random.ts';
import { SCENARIOS } from './scenarios/index.ts';
import type { World } from './scenarios/scenario.ts';
import { Tenant } from './tenant.ts';

/** Past so many a run has shown enough. */
const MOST_VIOLATIONS = 20;
/** Scenarios that are told of before one that went wrong. */
const RECENT = 6;

export interface LoadOptions {
  readonly url: string;
  readonly sessions: number;
  readonly executions: number;
  readonly seed: number;
  readonly world: World;
  readonly signal: AbortSignal;
  /** Called whenever so many more executions have ended. */
  readonly every: number;
  readonly onEvery: (executions: number) => Promise<void>;
}

/** What a run did and met. */
export class Load {
  readonly tenants: readonly Tenant[];
  readonly violations: string[] = [];
  readonly counts = new Map<string, number>();
  executions = 0;
  /** The longest that a call took beyond what its own arguments allow and its wait for a place, ms. */
  latest = { ms: 0, call: 'none' };
  readonly #options: LoadOptions;
  #next: number;
  #sampling: Promise<void> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#next = options.every;
    const { url, sessions, seed } = options;
    const onLate = (ms: number, call: string) => {
      if (ms > this.latest.ms) this.latest = { ms, call };
    };
    this.tenants = Array.from(
      { length: sessions },
      (_, index) => new Tenant({ url, index, random: createRandom(seed * 1000 + index), onLate }),
    );
  }

  /** Until all executions have been made, one scenario after the other in each session. */
  async run(): Promise<void> {
    // One after the other: how fast an engine starts containers is not the question.
    for (const tenant of this.tenants) if (!this.#options.signal.aborted) await tenant.probe();
    await Promise.all(this.tenants.map((tenant) => this.#drive(tenant)));
    await this.#sampling;
  }

  async #drive(tenant: Tenant): Promise<void> {
    const { executions, world, signal } = this.#options;
    const recent: string[] = [];
    while (this.executions < executions && this.violations.length < MOST_VIOLATIONS && !signal.aborted) {
      const scenario = tenant.random.weighted(SCENARIOS);
      recent.push(`${new Date().toISOString().slice(11, 23)} ${scenario.name}`);
      try {
        const made = await scenario.run(tenant, world);
        this.executions += made;
        this.counts.set(scenario.name, (this.counts.get(scenario.name) ?? 0) + 1);
      } catch (error) {
        const what = error instanceof Violation ? error.message : (error as Error).stack;
        this.violations.push(
          `${new Date().toISOString()} ${tenant.name}: ${what}\n  after ${recent.slice(-RECENT).join(', ')}`,
        );
        process.stderr.write(`VIOLATION ${this.violations.at(-1)}\n`);
      }
      await this.#sampling;
      this.#sampleIfDue();
    }
  }

  /** All sessions wait for it, so that samples compare. */
  #sampleIfDue(): void {
    if (this.executions < this.#next) return;
    this.#next += this.#options.every;
    this.#sampling = this.#options.onEvery(this.executions);
  }
}
