import { z } from 'zod';

/** Factor by which each new session makes earlier use count less. */
const KEPT = 0.95;
/** Weight from which something is wanted. One use has this weight left after twenty sessions. */
const LEAST = 0.35;
/** Highest weight of one thing. It is forgotten after some sixty sessions that do not use it. */
const MOST = 8;
/** Most names to remember. A hostile sandbox can name anything. */
const MAX_NAMES = 2000;
/** Most modules to want at once; as many as the runner takes in one order. */
const MAX_WANTED = 500;
const NAME = /^[A-Za-z_]\w{0,99}(\.[A-Za-z_]\w{0,99}){0,9}$/;

/** What one execution used of what can be loaded before it. */
export interface Use {
  /** Modules of the image, in the order of their imports. */
  readonly modules: readonly string[];
  /** Whether it was the first cell of a context. */
  readonly context: boolean;
}

/** What the next session is expected to use. */
export interface Wanted {
  readonly modules: ReadonlySet<string>;
  readonly context: boolean;
}

export const usageSchema = z.object({
  modules: z.record(z.string().regex(NAME), z.number().positive().max(MOST)),
  contexts: z.number().nonnegative().max(MOST),
});

/** Weights by name, in the order in which modules are imported. */
export type UsageRecord = z.infer<typeof usageSchema>;

/** Counts what sessions with one image used of late. What later sessions do not use is forgotten slowly. */
export class ModuleUsage {
  /** Weights at the time when `#sessions` was `at`, so that a new session changes one number only. */
  readonly #modules = new Map<string, { weight: number; at: number }>();
  #contexts = { weight: 0, at: 0 };
  #sessions = 0;
  /** Modules that cannot be loaded beforehand, or take too much memory; what is in them cannot either. */
  readonly #refused = new Set<string>();
  #wanted: Wanted = { modules: new Set(), context: false };
  #isStale = true;

  constructor(record?: UsageRecord) {
    for (const [name, weight] of Object.entries(record?.modules ?? {})) this.#modules.set(name, { weight, at: 0 });
    this.#contexts.weight = record?.contexts ?? 0;
  }

  /** Records that a session begins. */
  beginSession(): void {
    this.#sessions += 1;
    this.#isStale = true;
  }

  count({ modules, context }: Use): void {
    this.#isStale = true;
    if (context) this.#contexts = this.#raise(this.#contexts);
    for (const name of modules) {
      if (NAME.test(name)) this.#modules.set(name, this.#raise(this.#modules.get(name)));
    }
    if (this.#modules.size > MAX_NAMES) this.#forget();
  }

  /** Records that a module cannot be had. It is not wanted again before the next start. */
  refuse(name: string): void {
    if (this.#refused.size < MAX_NAMES) this.#refused.add(name);
    this.#isStale = true;
  }

  /**
   * Returns what the next session is expected to use: modules by weight, and otherwise in the order of their imports.
   * It is the same object until something else is expected.
   */
  get wanted(): Wanted {
    if (!this.#isStale) return this.#wanted;
    this.#isStale = false;
    const weighed = [...this.#modules]
      .map(([name, entry]) => ({ name, weight: this.#now(entry) }))
      .filter(({ name, weight }) => weight >= LEAST && !this.#isRefused(name));
    weighed.sort((one, other) => other.weight - one.weight);
    const names = weighed.slice(0, MAX_WANTED).map(({ name }) => name);
    const context = this.#now(this.#contexts) >= LEAST;
    const isSame = context === this.#wanted.context && names.join() === [...this.#wanted.modules].join();
    if (!isSame) this.#wanted = { modules: new Set(names), context };
    return this.#wanted;
  }

  /** Returns what to keep over a restart. */
  get record(): UsageRecord {
    const kept = [...this.#modules].map(([name, entry]) => [name, this.#now(entry)] as const);
    return {
      modules: Object.fromEntries(kept.filter(([, weight]) => weight >= LEAST)),
      contexts: this.#now(this.#contexts),
    };
  }

  #isRefused(name: string): boolean {
    if (this.#refused.size === 0) return false;
    const parts = name.split('.');
    return parts.some((_, at) => this.#refused.has(parts.slice(0, at + 1).join('.')));
  }

  #raise(entry: { weight: number; at: number } | undefined): { weight: number; at: number } {
    return { weight: Math.min(MOST, (entry ? this.#now(entry) : 0) + 1), at: this.#sessions };
  }

  #now({ weight, at }: { weight: number; at: number }): number {
    return weight * KEPT ** (this.#sessions - at);
  }

  #forget(): void {
    const lightest = [...this.#modules].sort(([, one], [, other]) => this.#now(one) - this.#now(other));
    for (const [name] of lightest.slice(0, this.#modules.size - MAX_NAMES)) this.#modules.delete(name);
  }
}
