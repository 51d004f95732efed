import { GloveboxError } from '../errors.ts';
import type { RecordedGrant, ToolAccess, ToolCall, ToolGrant, ToolRequest } from '../execution/tool-access.ts';
import { nearest } from '../lib/nearest.ts';
import { makeToken, SecretTokens } from '../lib/secret-tokens.ts';
import type { Log } from '../log.ts';
import { currentTrace, within } from '../telemetry/trace.ts';
import { type AccountedCall, CallLedger, type Deliver } from './call-ledger.ts';
import { CLIENT_SERVER, ClientServer } from './client-tools.ts';
import type { ToolMetrics } from './tool-metrics.ts';
import type {
  Approve,
  BrokerCall,
  BrokerRead,
  ExecutionToolLimits,
  ServerCatalog,
  ToolAnswer,
  ToolCaller,
  ToolQuestion,
  ToolServerSummary,
} from './types.ts';

/** Part of the broker that grants use. */
export interface GrantedBroker {
  servers(owner: string): readonly ToolServerSummary[];
  catalog(owner: string, servers: readonly string[], signal: AbortSignal): Promise<readonly ServerCatalog[]>;
  call(call: BrokerCall): Promise<ToolAnswer>;
  read(call: BrokerRead): Promise<ToolAnswer>;
  limitsOf(server: string): ExecutionToolLimits;
}

/** Asks a person, while the clock of the execution stands still. */
export type AskPerson = (
  call: ToolQuestion & { readonly caller: ToolCaller },
  channels: NonNullable<ToolRequest['approvals']>,
  waiting: { readonly signal: AbortSignal; readonly clock: ToolRequest['clock'] },
) => ReturnType<Approve>;

export interface GrantsOptions {
  /** Undefined if there are no servers. */
  readonly broker?: GrantedBroker | undefined;
  readonly ask: AskPerson;
  readonly metrics: Pick<ToolMetrics, 'count'>;
  readonly log: Log;
}

/** Access to tools of all running executions. A token is kept as its hash, and works only from the session of its execution. */
export class Grants implements ToolAccess {
  readonly #options: GrantsOptions;
  readonly #open = new SecretTokens<Grant>();

  constructor(options: GrantsOptions) {
    this.#options = options;
  }

  open(request: ToolRequest): (ToolGrant & { readonly token: string }) | undefined {
    const servers = this.#choose(request);
    if (servers.length === 0 && !request.clientTools) return undefined;
    const { token, hash } = makeToken();
    return Object.assign(
      this.#enter({ hash, servers: Object.fromEntries(servers.map((name) => [name, 0])) }, request),
      { token },
    );
  }

  reopen(recorded: RecordedGrant, request: ToolRequest): ToolGrant {
    const own = this.#options.broker?.servers(request.owner) ?? [];
    const kept = Object.entries(recorded.servers).filter(([server]) => own.some(({ name }) => name === server));
    return this.#enter({ ...recorded, servers: Object.fromEntries(kept) }, request);
  }

  /** Finds the grant of a token. Undefined if its execution is over, or runs in another session. */
  find(token: string, session: { readonly owner: string; readonly id: string }): Grant | undefined {
    const grant = this.#open.find(token);
    return grant?.isOf(session) ? grant : undefined;
  }

  #enter(recorded: RecordedGrant, request: ToolRequest): Grant {
    const grant = new Grant(recorded, request, this.#options, () => this.#open.delete(recorded.hash));
    this.#open.set(recorded.hash, grant);
    return grant;
  }

  #choose({ owner, servers }: ToolRequest): readonly string[] {
    const own = this.#options.broker?.servers(owner) ?? [];
    if (!servers) return own.filter(({ isDefault }) => isDefault).map(({ name }) => name);
    const names = own.map(({ name }) => name);
    for (const name of servers) if (!names.includes(name)) throw unknownServer(name, names);
    return [...new Set(servers)];
  }
}

/** Access of one execution. Its signal aborts when it ends. */
export class Grant implements ToolGrant {
  readonly #recorded: RecordedGrant;
  readonly #request: ToolRequest;
  readonly #broker: GrantedBroker | undefined;
  readonly #ask: AskPerson;
  readonly #client: ClientServer | undefined;
  readonly #ledger: CallLedger;
  readonly #controller = new AbortController();
  readonly #leave: () => void;
  /** Its execution, of which its calls are a part: they come by a connection, which is of no execution. */
  readonly #trace = currentTrace();

  constructor(
    recorded: RecordedGrant,
    request: ToolRequest,
    { broker, ask, metrics, log }: GrantsOptions,
    leave: () => void,
  ) {
    this.#recorded = recorded;
    this.#request = request;
    this.#broker = broker;
    this.#ask = ask;
    this.#client = request.clientTools && new ClientServer(request.clientTools);
    this.#ledger = new CallLedger({ request, metrics, log, before: recorded.servers });
    this.#leave = leave;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get calls(): readonly ToolCall[] {
    return this.#ledger.calls;
  }

  get recorded(): RecordedGrant {
    return { hash: this.#recorded.hash, servers: { ...this.#recorded.servers, ...this.#ledger.reserved } };
  }

  isOf({ owner, id }: { readonly owner: string; readonly id: string }): boolean {
    return this.#request.owner === owner && this.#request.sessionId === id;
  }

  async catalog(gone: AbortSignal): Promise<readonly ServerCatalog[]> {
    const own = this.#client ? [this.#client.catalog] : [];
    const names = Object.keys(this.#recorded.servers);
    if (!this.#broker || names.length === 0) return own;
    const signal = AbortSignal.any([gone, this.signal]);
    return [...own, ...(await this.#broker.catalog(this.#request.owner, names, signal))];
  }

  /** @throws ToolFailure */
  async call({ server, tool, arguments: args }: AskedCall, gone: AbortSignal, deliver: Deliver): Promise<void> {
    const signal = AbortSignal.any([gone, this.signal]);
    const caller = this.#request;
    const make = ({ client, broker }: Target) =>
      client
        ? client.call(tool, args, signal)
        : broker.call({ caller, server, tool, arguments: args, signal, approve: this.#approve });
    await this.#account({ server, tool, args, signal }, make, deliver);
  }

  /** Reads a resource to which a result has linked. @throws ToolFailure */
  async read({ server, uri }: AskedResource, gone: AbortSignal, deliver: Deliver): Promise<void> {
    const signal = AbortSignal.any([gone, this.signal]);
    const caller = this.#request;
    const make = ({ client, broker }: Target) =>
      client ? client.read() : broker.read({ caller, server, uri, signal });
    await this.#account({ server, tool: 'read', args: { uri }, signal }, make, deliver);
  }

  /** Ends the access, and the calls that run. */
  [Symbol.dispose](): void {
    this.#leave();
    this.#controller.abort();
  }

  async #account(
    call: Omit<AccountedCall, 'limits'>,
    make: (target: Target) => Promise<ToolAnswer>,
    deliver: Deliver,
  ): Promise<void> {
    const { server } = call;
    const target = this.#find(server);
    const limits = target?.client?.limits ?? target?.broker?.limitsOf(server);
    const makeOnce = async () => {
      // Without a server, it has been refused already.
      if (!target) throw new Error('there is no such server');
      return await make(target);
    };
    await within(this.#trace, () => this.#ledger.account({ ...call, limits }, makeOnce, deliver));
  }

  #find(server: string): Target | undefined {
    if (server === CLIENT_SERVER && this.#client) return { client: this.#client };
    return this.#broker && Object.hasOwn(this.#recorded.servers, server) ? { broker: this.#broker } : undefined;
  }

  readonly #approve: Approve = async (question, signal) => {
    const { approvals = {}, clock, ...caller } = this.#request;
    return await this.#ask({ ...question, caller }, approvals, { signal, clock });
  };
}

/** Call that code asks for. */
type AskedCall = Pick<BrokerCall, 'server' | 'tool' | 'arguments'>;
type AskedResource = Pick<BrokerRead, 'server' | 'uri'>;

/** What carries out a call. */
type Target =
  | { readonly client: ClientServer; readonly broker?: never }
  | { readonly client?: never; readonly broker: GrantedBroker };

function unknownServer(name: string, names: readonly string[]): GloveboxError {
  const short = name.slice(0, 64);
  const meant = nearest(short, names);
  const all =
    names.length > 0
      ? `Servers: ${names.join(', ')}.`
      : 'There are none for you; the operator adds them (GLOVEBOX_TOOLS).';
  return new GloveboxError('invalid_input', `There is no server ${JSON.stringify(short)} of tools.`, {
    hint: `${meant ? `Did you mean "${meant}"? ` : ''}${all}`,
  });
}
