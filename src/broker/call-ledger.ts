import { createHash } from 'node:crypto';
import type { ToolCall, ToolRequest } from '../execution/tool-access.ts';
import { ConcurrencyLimit } from '../lib/concurrency-limit.ts';
import { unlessAborted } from '../lib/unless-aborted.ts';
import type { Log } from '../log.ts';
import type { ToolMetrics } from './tool-metrics.ts';
import { type ExecutionToolLimits, type JsonObject, type ToolAnswer, ToolFailure, type ToolPart } from './types.ts';

/** Calls of one execution that its result lists. */
const MOST_LISTED = 200;
/** Refused calls of one execution that are listed and logged: code may try again in a loop. */
const MOST_REFUSALS_TOLD = 10;
/** Calls by which a record is ahead of those that were made, so that not each call writes a file. */
const RESERVED_AT_ONCE = 16;
/** A call waits for as long as those before it take. */
const FOREVER_MS = 2 ** 31 - 1;
/** Characters of names that came from code. */
const LONGEST_NAME = 128;

/** Gives an answer to the code, as fast as that takes it. */
export type Deliver = (parts: readonly ToolPart[]) => Promise<void>;

export interface AccountedCall {
  readonly server: string;
  /** Name of the tool, or what else is asked of the server. */
  readonly tool: string;
  readonly args: JsonObject;
  /** Limits of the server. Undefined if the execution was not given that server. */
  readonly limits: ExecutionToolLimits | undefined;
  readonly signal: AbortSignal;
}

export interface LedgerOptions {
  readonly request: ToolRequest;
  /** Calls of each server that an earlier control plane counted. */
  readonly before: Readonly<Record<string, number>>;
  readonly metrics: Pick<ToolMetrics, 'count'>;
  readonly log: Log;
}

interface Account {
  calls: number;
  reserved: number;
  readonly places: ConcurrencyLimit;
}

/** Counts, limits and records the calls of one execution. Arguments and values are not kept. */
export class CallLedger {
  readonly #options: LedgerOptions;
  readonly #accounts = new Map<string, Account>();
  readonly #listed: ToolCall[] = [];
  #numbers = 0;
  #refusals = 0;

  constructor(options: LedgerOptions) {
    this.#options = options;
  }

  /** Calls that have ended, by the order of their begin. */
  get calls(): readonly ToolCall[] {
    return this.#listed.toSorted((a, b) => a.n - b.n);
  }

  /** Number of calls of each server; rather more than less. */
  get reserved(): Readonly<Record<string, number>> {
    const { before } = this.#options;
    return { ...before, ...Object.fromEntries([...this.#accounts].map(([name, { reserved }]) => [name, reserved])) };
  }

  /**
   * Makes a call when there is a place for it, and delivers its answer. The place stays taken until the code has the
   * answer, which is held in memory until then.
   * @param deliver never rejects
   * @throws ToolFailure `denied`, `limit`, and as `make` does
   */
  async account(call: AccountedCall, make: () => Promise<ToolAnswer>, deliver: Deliver): Promise<void> {
    const started = performance.now();
    this.#numbers += 1;
    const n = this.#numbers;
    const end = (status: string, bytes: number) => this.#end(call, n, status, performance.now() - started, bytes);
    try {
      const places = this.#enter(call);
      await places.run(async () => {
        call.signal.throwIfAborted();
        await this.#tell(call, n, 'begun');
        // What does not heed the signal may take as long as it likes.
        const answer = await unlessAborted(make(), call.signal);
        // Told first, because the code may end with what it gets.
        await end('ok', answer.bytes);
        await deliver(answer.parts);
      });
    } catch (error) {
      await end(statusOf(error, call.signal), 0);
      throw error;
    }
  }

  /** @throws ToolFailure */
  #enter({ server, limits }: AccountedCall): ConcurrencyLimit {
    if (!limits) throw noSuchServer(server);
    const before = this.#options.before[server] ?? 0;
    const account = this.#accounts.get(server) ?? {
      ...{ calls: before, reserved: before, places: new ConcurrencyLimit(limits.maxConcurrent, FOREVER_MS) },
    };
    this.#accounts.set(server, account);
    if (account.calls >= limits.maxCalls) throw tooManyCalls(server, limits.maxCalls);
    account.calls += 1;
    if (account.calls > account.reserved) {
      account.reserved = account.calls + RESERVED_AT_ONCE - 1;
      this.#options.request.onRecord?.();
    }
    return account.places;
  }

  async #end(call: AccountedCall, n: number, status: string, durationMs: number, bytes: number): Promise<void> {
    const { request, metrics, log } = this.#options;
    const { server, tool, args, limits } = call;
    metrics.count(limits ? server : 'unknown', status, durationMs);
    if (REFUSALS.has(status)) this.#refusals += 1;
    if (this.#refusals > MOST_REFUSALS_TOLD && REFUSALS.has(status)) return;
    const name = nameOf(server, tool);
    const ms = Math.round(durationMs);
    if (this.#listed.length < MOST_LISTED) this.#listed.push({ n, tool: name, ms, status, bytes });
    const { owner, sessionId: session, executionId: execution } = request;
    const hash = createHash('sha256').update(JSON.stringify(args)).digest('hex');
    log.info('tool call', { owner, session, execution, tool: name, arguments: hash, outcome: status, ms, bytes });
    await this.#tell(call, n, status, ms);
  }

  /** Tells followers of the execution. The call waits while they are slow. */
  async #tell({ server, tool }: AccountedCall, n: number, status: string, ms?: number): Promise<void> {
    const timing = ms === undefined ? {} : { ms };
    await this.#options.request.onEvent?.({ type: 'tool_call', n, tool: nameOf(server, tool), status, ...timing });
  }
}

/** What costs no call of a server. */
const REFUSALS: ReadonlySet<string> = new Set(['denied', 'limit']);

function nameOf(server: string, tool: string): string {
  return `${server}.${tool}`.slice(0, LONGEST_NAME).toWellFormed();
}

function statusOf(error: unknown, signal: AbortSignal): string {
  if (error instanceof ToolFailure) return error.body.code;
  return signal.aborted ? 'cancelled' : 'upstream';
}

function noSuchServer(server: string): ToolFailure {
  return new ToolFailure(
    'denied',
    `There is no server ${JSON.stringify(server.slice(0, 64))} for this execution.`,
    'dir(tools) lists those that it has. The call of execute_python names them in "tools".',
  );
}

function tooManyCalls(server: string, most: number): ToolFailure {
  return new ToolFailure(
    'limit',
    `This execution has made ${most} calls of ${server}, as many as it may.`,
    'Ask for more with one call, or go on in another execution. The operator sets max_calls of the server.',
  );
}
