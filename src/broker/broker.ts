import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { RequestRate } from '../lib/request-rate.ts';
import type { Log } from '../log.ts';
import type { HostAccess } from '../outbound/dispatchers.ts';
import { Scrubber } from '../secrets/scrubbing/scrubber.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { approvalMode } from './catalog/approval-mode.ts';
import { type CatalogTool, catalogOf } from './catalog/catalog.ts';
import { Pins } from './catalog/pins.ts';
import { changed, changedMeanwhile, notApproved, notLinked, tooLate, unknownServer } from './failures.ts';
import type { ToolServer } from './file/server-entry.ts';
import { readToolsFile } from './file/tools-file.ts';
import { cleanText } from './results/clean-text.ts';
import { measure, partsOfResource, partsOfResult } from './results/normalize.ts';
import { scrubPart } from './results/scrub-part.ts';
import { accessFor, literalCredentials } from './secrets/access.ts';
import {
  type BrokerCall,
  type BrokerRead,
  type ExecutionToolLimits,
  type ServerCatalog,
  type ServerState,
  type ToolAnswer,
  type ToolCaller,
  ToolFailure,
  type ToolFailureBody,
  type ToolPart,
  type ToolServerSummary,
  type UpstreamTool,
} from './types.ts';
import { Connections, type Use } from './upstream/connections.ts';
import { UpstreamHosts } from './upstream/fetch.ts';

export * from './types.ts';

export interface BrokerOptions {
  /** File of tool servers. Without it there are none. */
  readonly file?: string | undefined;
  /** Whether servers may be commands of this machine. */
  readonly mayStart: boolean;
  readonly stateDir: string;
  readonly secrets: Secrets;
  /** Owner of everything on a control plane without keys, who may use all servers. Undefined where there are keys. */
  readonly localOwner?: string | undefined;
  readonly hosts: HostAccess;
  /** Version of this program, for the servers. */
  readonly version: string;
  readonly log: Log;
}

/** Sessions whose links are remembered, and links of each. */
const LINKED_SESSIONS = 1000;
const MOST_LINKS = 1000;
/** Characters of what a command has written to stderr that are kept, the last ones. */
const STDERR_TAIL = 500;
const SILENT_COMMAND =
  'Run its command by hand, with the few variables that it gets (docs/tools.md). What it lacks, such as a proxy, belongs into its "env".';

/** Calls tools of MCP servers for code in sandboxes. Nothing of a server's address or credentials leaves it. */
export class Broker implements AsyncDisposable {
  readonly #options: BrokerOptions;
  readonly #servers: ReadonlyMap<string, ToolServer>;
  readonly #secrets: Secrets;
  readonly #pins: Pins;
  readonly #hosts: UpstreamHosts;
  readonly #connections: Connections;
  readonly #rates: ReadonlyMap<string, RequestRate>;
  readonly #literals: readonly string[];
  /** Addresses that results have linked to, by owner, session and server. */
  readonly #links = new LRUCache<string, Set<string>>({ max: LINKED_SESSIONS });
  /** The last that the command of each server has written to stderr. */
  readonly #stderr = new Map<string, string>();
  #scrubber: { readonly values: readonly string[]; readonly scrubber: Scrubber } | undefined;

  private constructor(options: BrokerOptions, servers: readonly ToolServer[]) {
    this.#options = options;
    this.#servers = new Map(servers.map((server) => [server.name, server]));
    this.#secrets = options.secrets;
    this.#pins = new Pins(options.stateDir);
    this.#hosts = new UpstreamHosts(options.hosts);
    this.#literals = servers.flatMap(literalCredentials);
    this.#rates = new Map(
      servers.flatMap(({ name, rate }) => (rate === undefined ? [] : [[name, new RequestRate(rate)] as const])),
    );
    this.#connections = new Connections({
      hosts: this.#hosts,
      version: options.version,
      accessFor: (server, owner) => accessFor(server, owner, this.#secrets),
      catalogOf: (server, listed) => this.#catalogOf(server, listed),
      onStderr: (server, text) => {
        this.#stderr.set(server.name, `${this.#stderr.get(server.name) ?? ''}${text}`.slice(-STDERR_TAIL));
        this.#note(server.name, 'stderr', text);
      },
    });
  }

  /** Reads the file. Connects to nothing yet. @throws GloveboxError `invalid_input` that says what is wrong with it */
  static open(options: BrokerOptions): Broker {
    const servers = options.file === undefined ? [] : readToolsFile(options.file, options.mayStart);
    for (const { name, owners } of servers) {
      if (owners.length > 0 || options.localOwner !== undefined) continue;
      options.log.warn('nobody may use a tool server: it has no "owners" in the file of GLOVEBOX_TOOLS', {
        server: name,
      });
    }
    return new Broker(options, servers);
  }

  /** The servers that an owner may use. */
  servers(owner: string): readonly ToolServerSummary[] {
    return this.#serversOf(owner).map(({ name, description, isDefault }) => ({ name, description, isDefault }));
  }

  /** @throws ToolFailure `denied` for a server that there is not */
  limitsOf(name: string): ExecutionToolLimits {
    const { maxCalls, maxConcurrent } = this.#servers.get(name) ?? unknownServer(name, []);
    return { maxCalls, maxConcurrent };
  }

  /** Asks each server for its tools, with shared credentials, to tell an operator how it is. */
  async inspect(signal: AbortSignal): Promise<readonly ServerState[]> {
    return await Promise.all([...this.#servers.values()].map((server) => this.#inspect(server, signal)));
  }

  /** The tools of some servers. One that cannot say has an error in place of them. */
  async catalog(owner: string, names: readonly string[], signal: AbortSignal): Promise<readonly ServerCatalog[]> {
    return await Promise.all(names.map((name) => this.#describe(owner, name, signal)));
  }

  /**
   * Calls a tool, after a person has allowed it if that is asked for.
   * @throws ToolFailure
   */
  async call({
    caller,
    server: name,
    tool: toolName,
    signal,
    approve,
    arguments: args,
  }: BrokerCall): Promise<ToolAnswer> {
    const server = this.#serverOf(caller.owner, name);
    const use = { server, owner: caller.owner, signal };
    return await this.#explained(use, async () => {
      const tool = await this.#toolOf(use, toolName);
      this.#count(server, caller.owner);
      await this.#admit(server, tool, (mode) => {
        const question = { server: name, tool: toolName, arguments: args, mode };
        return approve(tool.isChanged ? { ...question, changed: true } : question, signal);
      });
      const limits = { signal, timeoutMs: server.timeoutMs };
      const result = await this.#connections.use(use, async ({ connection, catalog }) => {
        // A person has seen the tool as it was then.
        if ((await catalog()).tools.get(toolName)?.hash !== tool.hash) throw changedMeanwhile(name, toolName);
        return await connection.callTool(tool.listed, args, limits);
      });
      return this.#answer(server, caller, partsOfResult(name, result, tool.outputSchema));
    });
  }

  /**
   * Reads a resource that a result of the same session has linked to.
   * @throws ToolFailure
   */
  async read({ caller, server: name, uri, signal }: BrokerRead): Promise<ToolAnswer> {
    const server = this.#serverOf(caller.owner, name);
    if (!this.#links.get(linksKey(caller, name))?.has(uri)) throw notLinked(name);
    const use = { server, owner: caller.owner, signal };
    return await this.#explained(use, async () => {
      this.#count(server, caller.owner);
      const limits = { signal, timeoutMs: server.timeoutMs };
      const result = await this.#connections.use(use, ({ connection }) => connection.readResource(uri, limits));
      return this.#answer(server, caller, partsOfResource(result));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
    await this.#hosts.close();
  }

  #serversOf(owner: string): ToolServer[] {
    const { localOwner } = this.#options;
    return [...this.#servers.values()].filter(
      ({ owners }) => owner === localOwner || owners.includes('*') || owners.includes(owner),
    );
  }

  #serverOf(owner: string, name: string): ToolServer {
    const servers = this.#serversOf(owner);
    const names = servers.map((server) => server.name);
    return servers.find((server) => server.name === name) ?? unknownServer(name, names);
  }

  async #describe(owner: string, name: string, signal: AbortSignal): Promise<ServerCatalog> {
    try {
      const server = this.#serverOf(owner, name);
      const use = { server, owner, signal };
      const { tools } = await this.#explained(use, () => this.#connections.use(use, ({ catalog }) => catalog()));
      return { name, description: server.description, tools: [...tools.values()].map(withoutPolicy) };
    } catch (error) {
      if (!(error instanceof ToolFailure)) throw error;
      return { name, description: this.#servers.get(name)?.description ?? '', tools: [], error: error.body };
    }
  }

  async #inspect(server: ToolServer, signal: AbortSignal): Promise<ServerState> {
    const { name, owners, credentials } = server;
    const use = { server, owner: this.#options.localOwner ?? '', signal };
    if (credentials === 'owner') return { name, owners, isShared: false };
    try {
      const { tools } = await this.#explained(use, () => this.#connections.use(use, ({ catalog }) => catalog()));
      const changed = [...tools.values()].filter(({ isChanged }) => isChanged).map((tool) => tool.name);
      return { name, owners, isShared: true, tools: tools.size, changed };
    } catch (error) {
      if (!(signal.aborted || error instanceof ToolFailure)) throw error;
      const { body } = error instanceof ToolFailure && !signal.aborted ? error : tooLate(name);
      return { name, owners, isShared: true, error: this.#withStderr(server, body) };
    }
  }

  /** For operators: what a command that fails has said itself. */
  #withStderr(server: ToolServer, body: ToolFailureBody): ToolFailureBody {
    if (server.access.kind !== 'stdio') return body;
    const said = cleanText(this.#currentScrubber().text(this.#stderr.get(server.name) ?? ''), STDERR_TAIL);
    return { ...body, hint: said ? `Its command wrote last: ${said}` : SILENT_COMMAND };
  }

  async #toolOf(use: Use, name: string): Promise<CatalogTool> {
    const { tools, denied } = await this.#connections.use(use, ({ catalog }) => catalog());
    const tool = tools.get(name);
    if (tool) return tool;
    const { name: server } = use.server;
    const shown = JSON.stringify(name.slice(0, 64));
    if (denied.has(name)) {
      const hint = 'The operator allows tools with "allow" and "deny" in the file of GLOVEBOX_TOOLS.';
      throw new ToolFailure('denied', `The tool ${shown} of ${server} is not allowed.`, hint);
    }
    const near = nearest(name.slice(0, 64), tools.keys());
    const hint = near ? `Did you mean ${near}?` : 'tools.search() finds tools by what they do.';
    throw new ToolFailure('bad_arguments', `${server} has no tool ${shown}.`, hint);
  }

  #count(server: ToolServer, owner: string): void {
    try {
      this.#rates.get(server.name)?.take(owner);
    } catch (error) {
      if (!(error instanceof GloveboxError)) throw error;
      const message = `${server.name} may be called ${server.rate} times a minute.`;
      throw new ToolFailure('limit', message, `Wait ${error.retryAfterS ?? 60} seconds. The operator sets "rate".`);
    }
  }

  async #admit(
    { name, ...server }: ToolServer,
    tool: CatalogTool,
    ask: (mode: 'writes' | 'always') => ReturnType<BrokerCall['approve']>,
  ): Promise<void> {
    const mode = approvalMode({ name, ...server }, tool);
    if (mode === 'never') return;
    const answer = await ask(mode);
    if (answer === 'once' || answer === 'session') return;
    throw tool.isChanged ? changed(name, tool) : notApproved(`${name}.${tool.name}`, answer);
  }

  #answer(server: ToolServer, caller: ToolCaller, parts: readonly ToolPart[]): ToolAnswer {
    this.#remember(linksKey(caller, server.name), parts);
    const clean = parts.map((part) => scrubPart(part, this.#currentScrubber()));
    return measure(server.name, clean, server.maxResultBytes);
  }

  #remember(key: string, parts: readonly ToolPart[]): void {
    const uris = parts.flatMap((part) => (part.type === 'link' ? [part.uri] : []));
    if (uris.length === 0) return;
    this.#links.set(key, new Set([...(this.#links.get(key) ?? []), ...uris].slice(-MOST_LINKS)));
  }

  #catalogOf(server: ToolServer, listed: Parameters<typeof catalogOf>[1]) {
    const scrubber = this.#currentScrubber();
    const catalog = catalogOf(server, listed, this.#pins, (value) => scrubber.json(value));
    for (const reason of catalog.leftOut) this.#options.log.warn('a tool is left out', { server: server.name, reason });
    return catalog;
  }

  /** Does work with a server, whose failures become such as may be shown. */
  async #explained<T>({ server: { name }, signal }: Use, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof ToolFailure) throw this.#scrubbed(error);
      if (error instanceof GloveboxError) throw new ToolFailure('upstream', error.message, error.hint);
      this.#note(name, 'failure', error instanceof Error ? error.message : String(error));
      const { explain } = await import('./upstream/explain.ts');
      throw explain(name, error, (text, limit) => cleanText(this.#currentScrubber().text(text), limit));
    }
  }

  #scrubbed(failure: ToolFailure): ToolFailure {
    const { code, message, hint } = failure.body;
    const scrubber = this.#currentScrubber();
    return new ToolFailure(code, scrubber.text(message), scrubber.text(hint));
  }

  /** Writes what a server or a library says to the log, for operators, without secrets. */
  #note(server: string, what: string, text: string): void {
    const said = cleanText(this.#currentScrubber().text(text), 300);
    if (said) this.#options.log.debug('tool server', { server, [what]: said });
  }

  #currentScrubber(): Scrubber {
    const { values } = this.#secrets;
    if (this.#scrubber?.values !== values) {
      this.#scrubber = { values, scrubber: new Scrubber([...values, ...this.#literals]) };
    }
    return this.#scrubber.scrubber;
  }
}

function withoutPolicy({ hash: _hash, isChanged: _isChanged, listed: _listed, ...tool }: CatalogTool): UpstreamTool {
  return tool;
}

function linksKey({ owner, sessionId }: ToolCaller, server: string): string {
  return JSON.stringify([owner, sessionId, server]);
}
