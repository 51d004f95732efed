import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd, ExecutionRequest, SandboxReset } from '../execution/request.ts';
import { Limiter } from '../scheduling/limiter.ts';
import type { EnterOptions } from '../scheduling/wait-for-turn.ts';

/** Interpreters that one session may keep; each holds memory. */
const MAX_CONTEXTS = 16;
/** Calls of one context that may wait for it. */
const QUEUE_LIMIT = 32;
const CONTEXT_LOST: SandboxReset = { reason: 'context_ended', lost: ['contexts'] };

/** A named interpreter, as far as the control plane knows. */
interface Context {
  /** One call at a time, in order. */
  readonly turns: Limiter;
  alive: boolean;
  /** Whether its variables went in a way that no call to it has been told of. */
  lost: boolean;
}

/** The interpreters of a session that live on between executions. */
export class Contexts {
  readonly #contexts = new Map<string, Context>();

  /** Those alive. */
  get names(): string[] {
    return [...this.#contexts].filter(([, { alive }]) => alive).map(([name]) => name);
  }

  /** Whether there is one, or may be one soon: a call to it is under way. */
  has(name: string): boolean {
    const context = this.#contexts.get(name);
    return context !== undefined && (context.alive || context.turns.running > 0);
  }

  /**
   * Waits for a call's turn; dispose of it to let the next one in.
   * @throws GloveboxError `session_busy` when too many wait; `capacity_exceeded` when patience ends, or there are too
   * many contexts.
   */
  async enter(name: string, options: EnterOptions = {}): Promise<Disposable> {
    return await this.#open(name).turns.enter(options);
  }

  /** Takes note of how a run in a context ended, and adds what is to be told of it. */
  settle(request: ExecutionRequest, end: ExecutionEnd): ExecutionEnd {
    const { context: name, end_context: ended } = request;
    if (ended !== undefined) this.#forget(ended);
    const context = name === undefined ? undefined : this.#contexts.get(name);
    if (end.reset) {
      const created = context?.alive === false;
      // Whatever it had until then is lost with the others.
      if (context) context.alive = true;
      const reset = this.settleReset(end.reset);
      return {
        ...end,
        ...(name !== undefined && context ? { context: { name, created, alive: context.alive } } : {}),
        reset,
      };
    }
    if (name === undefined || !context || !end.report) return end;
    const created = end.report.context_created ?? false;
    // One that died between two calls was alive for all that was known.
    const wasLost = context.lost || (context.alive && created);
    context.alive = end.report.context_alive ?? false;
    context.lost = !context.alive;
    return {
      ...end,
      context: { name, created, alive: context.alive },
      ...(wasLost || context.lost ? { reset: CONTEXT_LOST } : {}),
    };
  }

  /** Takes over those of an earlier control plane: who was there, and who of them lives. True if any was lost. */
  recover(names: readonly string[], alive: readonly string[]): boolean {
    for (const name of new Set([...alive, ...names])) {
      const isAlive = alive.includes(name);
      this.#contexts.set(name, newContext(name, { alive: isAlive, lost: !isAlive }));
    }
    return names.some((name) => !alive.includes(name));
  }

  /** Takes all for ended with the sandbox's processes; each tells it with its next call. True if any was lost so. */
  loseAll(): boolean {
    const contexts = [...this.#contexts.values()];
    for (const context of contexts) {
      context.lost ||= context.alive;
      context.alive = false;
    }
    return contexts.some(({ lost }) => lost);
  }

  /** Takes note of a loss of processes, which names contexts only if there were any. */
  settleReset({ lost, ...reset }: SandboxReset): SandboxReset {
    const any = lost.includes('contexts') && this.loseAll();
    return { ...reset, lost: lost.filter((what) => what !== 'contexts' || any) };
  }

  #forget(name: string): void {
    const context = this.#contexts.get(name);
    if (context) Object.assign(context, { alive: false, lost: false });
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
  return { turns: new Limiter(1, QUEUE_LIMIT, `context ${name}`), ...state };
}
