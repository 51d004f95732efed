import type { Log } from '../log.ts';
import { currentTrace, type Span, startSpan } from '../telemetry/trace.ts';
import { limitMet, type Refused } from './refusal.ts';
import type { WebHostUse, WebRefusal, WebRequestor } from './web-access.ts';
import type { WebMetrics } from './web-metrics.ts';

/** Hosts of one execution that its result lists. */
const MOST_HOSTS = 100;
/** Refusals of one execution that its result lists. */
const MOST_REFUSALS = 20;
/** Requests of one execution that have a line in the log each. The others are told of in one. */
const MOST_LOGGED = 200;
/** Most bytes by which a record is ahead of those that have passed, so that not each piece writes a file. */
const RECORDED_AT_ONCE = 64 * 2 ** 20;
/** The same in parts of what an execution may move, so that a restart leaves it most of that. */
const RECORDED_PART = 1 / 16;
/** Bytes after which the metrics are told of a connection that goes on. */
const COUNTED_AT_ONCE = 4 * 2 ** 20;

export interface UsageOptions extends WebRequestor {
  /** Bytes that the execution may send, and as many that it may receive. */
  readonly mostBytes: number;
  /** Bytes that an earlier control plane has counted. */
  readonly before: { readonly bytesIn: number; readonly bytesOut: number };
  readonly metrics: Pick<WebMetrics, 'countRequest' | 'countBytes'>;
  readonly log: Log;
  readonly onRecord?: (() => void) | undefined;
}

/** A request, or a connection of which only its ends see the requests. */
export interface ExchangeFacts {
  readonly host: string;
  readonly port: number;
  /** Pattern of the operator that allows it. */
  readonly rule: string;
  /** Method of HTTP; `CONNECT` for a connection. */
  readonly method: string;
  /** Names of the secrets that were added. */
  readonly secrets?: readonly string[] | undefined;
}

/** How an exchange has ended. `cut`: its execution was over, or it met a limit; `gone`: the code ended it first. */
export type Outcome = 'ok' | 'failed' | 'cut' | 'gone';

type HostUse = { -readonly [K in keyof WebHostUse]: WebHostUse[K] };

/** Counts, limits and tells what one execution has of the web. Paths, headers and contents are not kept. */
export class WebUsage {
  readonly #options: UsageOptions;
  readonly #hosts = new Map<string, HostUse>();
  readonly #refusals = new Map<string, WebRefusal>();
  #bytesIn: number;
  #bytesOut: number;
  #recordedUpTo = 0;
  #logged = 0;
  #unlogged = { requests: 0, bytesIn: 0, bytesOut: 0 };
  /** Its execution, of which its requests are a part: they come by a connection, which is of no execution. */
  readonly #trace = currentTrace();

  constructor(options: UsageOptions) {
    this.#options = options;
    this.#bytesIn = options.before.bytesIn;
    this.#bytesOut = options.before.bytesOut;
  }

  get hosts(): readonly WebHostUse[] {
    return [...this.#hosts.values()].map((use) => ({ ...use }));
  }

  get refusals(): readonly WebRefusal[] {
    return [...this.#refusals.values()];
  }

  /** Bytes so far; rather more than less. */
  get recorded(): { readonly bytesIn: number; readonly bytesOut: number } {
    const { mostBytes } = this.#options;
    const step = Math.min(RECORDED_AT_ONCE, Math.ceil(mostBytes * RECORDED_PART));
    const ahead = (bytes: number) => Math.min(mostBytes, Math.ceil(bytes / step) * step);
    return { bytesIn: ahead(this.#bytesIn), bytesOut: ahead(this.#bytesOut) };
  }

  /** Begins an exchange that is allowed. @throws Refused `limit` when the bytes are used up */
  begin(facts: ExchangeFacts): Exchange {
    const { host, port } = facts;
    if (this.#isUsedUp) throw this.#bytesMet(host, port);
    const key = `${host} ${port}`;
    let use = this.#hosts.get(key);
    if (!use) {
      use = { host, port, requests: 0, bytesIn: 0, bytesOut: 0 };
      if (this.#hosts.size < MOST_HOSTS) this.#hosts.set(key, use);
    }
    use.requests += 1;
    const span = this.#startSpan(facts);
    return new Exchange(facts, use, {
      take: (bytesIn, bytesOut) => this.#take(bytesIn, bytesOut),
      onEnd: (exchange, outcome) => {
        this.#end(exchange, outcome);
        if (outcome !== 'ok') span?.fail(outcome);
        span?.end();
      },
      countBytes: (bytesIn, bytesOut) =>
        this.#options.metrics.countBytes(this.#options.owner, facts.rule, bytesIn, bytesOut),
    });
  }

  /** Tells of a refusal. @param rule pattern of the operator that matches, if one does */
  refuse({ refusal, cause }: Refused, method: string, rule?: string): void {
    const { host, port, rule: why } = refusal;
    const key = `${host} ${port} ${why} ${refusal.limit?.name ?? ''}`;
    this.#options.metrics.countRequest(this.#options.owner, rule, `refused_${why}`);
    if (this.#refusals.has(key) || this.#refusals.size >= MOST_REFUSALS) return;
    this.#refusals.set(key, refusal);
    const about = cause instanceof Error ? { reason: cause.message } : {};
    this.#options.log.info('web request', { ...this.#who, host, port, method, outcome: `refused_${why}`, ...about });
  }

  /** Notes a limit that was met in the middle of an exchange. */
  noteLimit(refused: Refused): void {
    const { host, port, limit } = refused.refusal;
    const key = `${host} ${port} limit ${limit?.name ?? ''}`;
    if (this.#refusals.size < MOST_REFUSALS) this.#refusals.set(key, refused.refusal);
  }

  /** Tells what has no line in the log. */
  close(): void {
    const { requests, bytesIn, bytesOut } = this.#unlogged;
    if (requests === 0) return;
    this.#options.log.info('web requests', { ...this.#who, requests, bytes_in: bytesIn, bytes_out: bytesOut });
  }

  get #who() {
    const { owner, sessionId: session, executionId: execution } = this.#options;
    return { owner, session, execution };
  }

  get #isUsedUp(): boolean {
    const { mostBytes } = this.#options;
    return this.#bytesIn >= mostBytes || this.#bytesOut >= mostBytes;
  }

  /** The host is not told of the trace. As in the log, those beyond a number have none, for code may send any number. */
  #startSpan({ host, port, method }: ExchangeFacts): Span | undefined {
    if (!this.#trace || this.#logged >= MOST_LOGGED) return undefined;
    const span = startSpan(method, { kind: 'client', parent: this.#trace });
    span?.set({ 'http.request.method': method, 'server.address': host, 'server.port': port });
    return span;
  }

  /** Counts bytes. Returns the limit that they meet. */
  #take(bytesIn: number, bytesOut: number): ((facts: ExchangeFacts) => Refused) | undefined {
    this.#bytesIn += bytesIn;
    this.#bytesOut += bytesOut;
    if (Math.max(this.#bytesIn, this.#bytesOut) > this.#recordedUpTo) {
      this.#recordedUpTo = Math.max(this.recorded.bytesIn, this.recorded.bytesOut);
      this.#options.onRecord?.();
    }
    const { mostBytes } = this.#options;
    if (this.#bytesIn <= mostBytes && this.#bytesOut <= mostBytes) return undefined;
    return ({ host, port }) => {
      const refused = this.#bytesMet(host, port);
      this.noteLimit(refused);
      return refused;
    };
  }

  #bytesMet(host: string, port: number): Refused {
    const mib = this.#options.mostBytes / 2 ** 20;
    const setting = 'move less in one execution, or GLOVEBOX_EGRESS_MB where the server is set up';
    const message = `This execution has moved ${mib} MiB one way, as much as it may. The operator sets GLOVEBOX_EGRESS_MB.`;
    return limitMet(host, port, message, { name: 'egress_mb', value: mib, setting });
  }

  #end({ facts, bytesIn, bytesOut, ms }: Exchange, outcome: Outcome): void {
    const { host, port, method, rule, secrets = [] } = facts;
    this.#options.metrics.countRequest(this.#options.owner, rule, outcome);
    this.#logged += 1;
    if (this.#logged > MOST_LOGGED) {
      const { requests, bytesIn: sumIn, bytesOut: sumOut } = this.#unlogged;
      this.#unlogged = { requests: requests + 1, bytesIn: sumIn + bytesIn, bytesOut: sumOut + bytesOut };
      return;
    }
    const about = { ...this.#who, host, port, method, outcome, ms, bytes_in: bytesIn, bytes_out: bytesOut };
    this.#options.log.info('web request', secrets.length > 0 ? { ...about, secrets: secrets.join(',') } : about);
  }
}

interface ExchangeOptions {
  readonly take: (bytesIn: number, bytesOut: number) => ((facts: ExchangeFacts) => Refused) | undefined;
  readonly onEnd: (exchange: Exchange, outcome: Outcome) => void;
  readonly countBytes: (bytesIn: number, bytesOut: number) => void;
}

/** One request, or one connection, and its bytes. */
export class Exchange {
  readonly facts: ExchangeFacts;
  readonly #use: HostUse;
  readonly #options: ExchangeOptions;
  readonly #startedAt = performance.now();
  #isOver = false;
  #uncounted = { in: 0, out: 0 };
  bytesIn = 0;
  bytesOut = 0;

  constructor(facts: ExchangeFacts, use: HostUse, options: ExchangeOptions) {
    this.facts = facts;
    this.#use = use;
    this.#options = options;
  }

  get ms(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  /** Counts bytes that the code receives. Returns a refusal when it may have no more. */
  received(bytes: number): Refused | undefined {
    return this.#count(bytes, 0);
  }

  /** Counts bytes that the code sends. Returns a refusal when it may send no more. */
  sent(bytes: number): Refused | undefined {
    return this.#count(0, bytes);
  }

  end(outcome: Outcome): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#tellBytes();
    this.#options.onEnd(this, outcome);
  }

  #count(bytesIn: number, bytesOut: number): Refused | undefined {
    this.bytesIn += bytesIn;
    this.bytesOut += bytesOut;
    this.#use.bytesIn += bytesIn;
    this.#use.bytesOut += bytesOut;
    this.#uncounted.in += bytesIn;
    this.#uncounted.out += bytesOut;
    if (this.#uncounted.in + this.#uncounted.out >= COUNTED_AT_ONCE) this.#tellBytes();
    return this.#options.take(bytesIn, bytesOut)?.(this.facts);
  }

  #tellBytes(): void {
    this.#options.countBytes(this.#uncounted.in, this.#uncounted.out);
    this.#uncounted = { in: 0, out: 0 };
  }
}
