import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, ExecutionRequest, SandboxReset } from '../execution/request.ts';
import { Limiter } from '../scheduling/limiter.ts';
import type { EnterOptions } from '../scheduling/wait-for-turn.ts';

/** Number of contexts that one session may have. Each uses memory. */
const MAX_CONTEXTS = 16;
/** Number of calls that may wait for a context. */
const QUEUE_LIMIT = 32;
const CONTEXT_LOST: SandboxReset = { reason: 'context_ended', lost: ['contexts'] };

/** State of a context, as known to the control plane. */
interface Context {
  /** Lets one call run at a time, in order. */
  readonly turns: Limiter;
  alive: boolean;
  /** Whether its variables were lost and no call to it has been told so yet. */
  lost: boolean;
  /** Whether it was alive when all contexts were last lost, and has not begun anew since. */
  livedBefore: boolean;
}

/** Contexts of a session: interpreters that continue to live between executions. */
export class Contexts {
  readonly #contexts = new Map<string, Context>();

  /** Names of the live contexts. */
  get names(): string[] {
    return [...this.#contexts].filter(([, { alive }]) => alive).map(([name]) => name);
  }

  /** Whether any would be lost with the processes, or is lost without having been told. */
  get areAnyToLose(): boolean {
    return [...this.#contexts.values()].some(({ alive, lost }) => alive || lost);
  }

  /** Whether the context exists, or may exist soon because a call to it is running. */
  has(name: string): boolean {
    const context = this.#contexts.get(name);
    return context !== undefined && (context.alive || context.turns.running > 0);
  }

  /**
   * Waits for a call's turn. Dispose of the result to admit the next call.
   * @throws GloveboxError `session_busy` when too many wait; `capacity_exceeded` when the wait takes too long, or there
   *   are too many contexts
   */
  async enter(name: string, options: EnterOptions = {}): Promise<Disposable> {
    return await this.#open(name).turns.enter(options);
  }

  /** Records how an execution in a context ended, and adds the context's state and losses to its end. */
  settle(request: ExecutionRequest, end: ExecutionEnd): ExecutionEnd {
    const { context: name, end_context: ended } = request;
    if (ended !== undefined) this.#forget(ended);
    const context = name === undefined ? undefined : this.#contexts.get(name);
    if (end.reset) {
      const created = context !== undefined && !context.alive && !context.livedBefore;
      // No other context is marked here: an execution may hear late of a loss, and they may have begun anew since.
      if (context) Object.assign(context, { alive: false, lost: true });
      return {
        ...end,
        ...(name !== undefined && context ? { context: { name, created, alive: false } } : {}),
        reset: this.settleReset(end.reset),
      };
    }
    if (name === undefined || !context || !end.report) return end;
    const created = end.report.context_created ?? false;
    // A context that died between two calls still counts as alive here.
    const wasLost = context.lost || (context.alive && created);
    const alive = end.report.context_alive ?? false;
    Object.assign(context, { alive, lost: !alive, livedBefore: false });
    return {
      ...end,
      context: { name, created, alive },
      ...(wasLost || context.lost ? { reset: CONTEXT_LOST } : {}),
    };
  }

  /** Takes over the contexts of an earlier control plane. Returns true if any of `names` is no longer in `alive`. */
  recover(names: readonly string[], alive: readonly string[]): boolean {
    for (const name of new Set([...alive, ...names])) {
      const isAlive = alive.includes(name);
      this.#contexts.set(name, newContext(name, { alive: isAlive, lost: !isAlive }));
    }
    return names.some((name) => !alive.includes(name));
  }

  /**
   * Marks all contexts as lost with their processes, at once: later there may be new ones. The next call to each reports it.
   * Returns true if any was lost.
   */
  loseAll(): boolean {
    for (const context of this.#contexts.values()) {
      const { alive, lost } = context;
      Object.assign(context, { alive: false, lost: lost || alive, livedBefore: alive });
    }
    return this.#areAnyLost;
  }

  /** Returns a loss of processes that names contexts only if any are lost. */
  settleReset({ lost, ...reset }: SandboxReset): SandboxReset {
    return { ...reset, lost: lost.filter((what) => what !== 'contexts' || this.#areAnyLost) };
  }

  get #areAnyLost(): boolean {
    return [...this.#contexts.values()].some(({ lost }) => lost);
  }

  #forget(name: string): void {
    const context = this.#contexts.get(name);
    if (context) Object.assign(context, { alive: false, lost: false, livedBefore: false });
  }

  #open(name: string): Context {
    const known = this.#contexts.get(name);
    if (known) return known;
    for (const [other, { alive, turns }] of this.#contexts) {
      if (this.#contexts.size < MAX_CONTEXTS) break;
      if (!alive && turns.running === 0) this.#contexts.delete(other);
    }
    if (this.#contexts.size >= MAX_CONTEXTS) {
      throw new GloveboxError('capacity_exceeded', `This session has ${MAX_CONTEXTS} contexts.`, {
        hint: `Use one of them (${this.names.join(', ')}), or reset one and continue in it.`,
        restHint: `Use one of them (${this.names.join(', ')}), or end one: DELETE /sessions/{id}/contexts/{name}.`,
      });
    }
    const context = newContext(name, { alive: false, lost: false });
    this.#contexts.set(name, context);
    return context;
  }
}

function newContext(name: string, state: Pick<Context, 'alive' | 'lost'>): Context {
  return { turns: new Limiter(1, QUEUE_LIMIT, `context ${name}`), livedBefore: false, ...state };
}
