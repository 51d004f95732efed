import { makeToken, SecretTokens } from '../lib/secret-tokens.ts';
import type { Log } from '../log.ts';
import { OwnerConnections, type WebBounds } from './bounds.ts';
import { InjectionFailure, type Injector } from './injector.ts';
import { parsePatterns } from './policy/pattern.ts';
import { checkCovered, type Decision, decide, type Level, type LevelName, type WebPolicy } from './policy/policy.ts';
import { limitMet, type Refused } from './refusal.ts';
import { WebUsage } from './usage.ts';
import type {
  RecordedWebGrant,
  WebAccess,
  WebGrant,
  WebHostUse,
  WebRefusal,
  WebRequest,
  WebRequestor,
} from './web-access.ts';
import type { WebMetrics } from './web-metrics.ts';

/** Patterns that a description lists. */
const MOST_DESCRIBED = 30;

export interface WebGrantsOptions {
  readonly policy: WebPolicy;
  readonly bounds: WebBounds;
  readonly injector?: Injector | undefined;
  readonly metrics: WebMetrics;
  readonly log: Log;
}

/** Access to the web of all running executions. A token is kept as its hash, and works only from the session of its execution. */
export class WebGrants implements WebAccess {
  readonly #options: WebGrantsOptions;
  readonly #open = new SecretTokens<Grant>();
  readonly #owners: OwnerConnections;

  constructor(options: WebGrantsOptions) {
    this.#options = options;
    this.#owners = new OwnerConnections(options.bounds.connectionsPerOwner);
  }

  get isOn(): boolean {
    return this.#options.policy.isOn;
  }

  narrow(owner: string, patterns: readonly string[], within?: readonly string[]): readonly string[] {
    const parsed = parsePatterns(patterns);
    checkCovered(parsed, [...this.#options.policy.levelsOf(owner), ...toLevels({ session: within })]);
    return parsed.map(({ text }) => text);
  }

  open(request: WebRequest): (WebGrant & { readonly token: string }) | undefined {
    const { owner, session, patterns } = request;
    const narrowed = patterns && this.narrow(owner, patterns, session);
    const levels = [...this.#options.policy.levelsOf(owner), ...toLevels({ session, patterns: narrowed })];
    if (levels.some((level) => level.patterns.length === 0)) return undefined;
    const { token, hash } = makeToken();
    const recorded = { hash, session, patterns: narrowed, bytesIn: 0, bytesOut: 0 };
    return Object.assign(this.#enter(recorded, request), { token });
  }

  reopen(recorded: RecordedWebGrant, request: WebRequestor & Pick<WebRequest, 'onRecord'>): WebGrant {
    return this.#enter(recorded, request);
  }

  describe(owner: string): string {
    const reach = this.#options.policy.reachOf(owner).map(({ text }) => text);
    const more = reach.length - MOST_DESCRIBED;
    return [...reach.slice(0, MOST_DESCRIBED), ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
  }

  addressesWithSecrets(owner: string): readonly string[] {
    const { policy, injector } = this.#options;
    const levels = policy.levelsOf(owner);
    try {
      const known = injector?.addresses(owner) ?? [];
      const reached = known.filter(({ host, port }) => decide(levels, host, port).allowed);
      return reached.slice(0, MOST_DESCRIBED).map(({ address }) => address);
    } catch (error) {
      // The log has it, and so will a request.
      if (error instanceof InjectionFailure) return [];
      throw error;
    }
  }

  /** Finds the grant of a token. Undefined if its execution is over, or runs in another session. */
  find(token: string, session: { readonly owner: string; readonly id: string }): Grant | undefined {
    const grant = this.#open.find(token);
    return grant?.isOf(session) ? grant : undefined;
  }

  #enter(recorded: RecordedWebGrant, request: WebRequestor & Pick<WebRequest, 'onRecord'>): Grant {
    const { policy, bounds, metrics, log } = this.#options;
    const { owner, sessionId, executionId, onRecord } = request;
    const usage = new WebUsage({
      ...{ owner, sessionId, executionId, onRecord, metrics, log },
      mostBytes: bounds.bytes,
      before: recorded,
    });
    const leave = () => this.#open.delete(recorded.hash);
    const grant = new Grant({ recorded, request, policy, bounds, usage, owners: this.#owners, leave });
    this.#open.set(recorded.hash, grant);
    return grant;
  }
}

interface GrantParts {
  readonly recorded: RecordedWebGrant;
  readonly request: WebRequestor;
  readonly policy: WebPolicy;
  readonly bounds: WebBounds;
  readonly usage: WebUsage;
  readonly owners: OwnerConnections;
  readonly leave: () => void;
}

/** Access of one execution. Its signal aborts when it ends. */
export class Grant implements WebGrant {
  readonly usage: WebUsage;
  readonly #parts: GrantParts;
  readonly #ownLevels: readonly Level[];
  readonly #controller = new AbortController();
  #connections = 0;

  constructor(parts: GrantParts) {
    this.#parts = parts;
    this.usage = parts.usage;
    this.#ownLevels = toLevels(parts.recorded);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get owner(): string {
    return this.#parts.request.owner;
  }

  get hosts(): readonly WebHostUse[] {
    return this.usage.hosts;
  }

  get refusals(): readonly WebRefusal[] {
    return this.usage.refusals;
  }

  get recorded(): RecordedWebGrant {
    return { ...this.#parts.recorded, ...this.usage.recorded };
  }

  isOf({ owner, id }: { readonly owner: string; readonly id: string }): boolean {
    return this.#parts.request.owner === owner && this.#parts.request.sessionId === id;
  }

  /** Decides on a host and port by what operator, key, session and call allow now. */
  decide(host: string, port: number): Decision {
    return decide([...this.#parts.policy.levelsOf(this.owner), ...this.#ownLevels], host, port);
  }

  /** Counts a connection until the returned function is called; returns a refusal for one too many. */
  enter(host: string, port: number): (() => void) | Refused {
    const { connections, connectionsPerOwner } = this.#parts.bounds;
    if (this.#connections >= connections) return tooMany(host, port, 'execution', connections);
    const leave = this.#parts.owners.enter(this.owner);
    if (!leave) return tooMany(host, port, 'owner', connectionsPerOwner);
    this.#connections += 1;
    return () => {
      this.#connections -= 1;
      leave();
    };
  }

  /** Ends the access, and the connections that are open. */
  [Symbol.dispose](): void {
    if (this.#controller.signal.aborted) return;
    this.#parts.leave();
    this.#controller.abort();
    // The connections that were cut have ended by then.
    setImmediate(() => this.usage.close());
  }
}

function toLevels({ session, patterns }: Pick<RecordedWebGrant, 'session' | 'patterns'>): readonly Level[] {
  const level = (name: LevelName, texts: readonly string[] | undefined): Level[] =>
    texts ? [{ name, patterns: parsePatterns(texts) }] : [];
  return [...level('session', session), ...level('call', patterns)];
}

function tooMany(host: string, port: number, whose: 'execution' | 'owner', most: number): Refused {
  const name = whose === 'execution' ? 'egress_connections' : 'egress_connections_per_owner';
  const setting = `use fewer connections at once, or GLOVEBOX_${name.toUpperCase()} where the server is set up`;
  const message = `${most} connections to the web are open, as many as this ${whose} may have. Close some first.`;
  return limitMet(host, port, message, { name, value: most, setting });
}
