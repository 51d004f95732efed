import { Approvals } from '../../src/approvals/approvals.ts';
import { GloveboxError } from '../../src/errors.ts';
import { EventStreams } from '../../src/http/event-streams.ts';
import { IdempotencyKeys } from '../../src/http/idempotency.ts';
import { Peers } from '../../src/http/peers/peers.ts';
import { createLog } from '../../src/log.ts';
import type { ToolContext } from '../../src/tools/tool.ts';
import { echoTool, fakeSessions, resolveSession, startProtocolServer } from '../mcp/protocol-server.ts';
import { type Holders, Member } from './group-member.ts';

const log = createLog('error', () => {});

/** A server of a group. Its tool answers with the name of the server. */
export class GroupServer {
  readonly member: Member;
  readonly url: string;
  /** Once it aborts, the server takes nothing that others pass on. */
  readonly closing = new AbortController();
  /** Once it aborts, it shuts down. */
  readonly stopping = new AbortController();
  /** Sessions of the calls that ran here. */
  readonly ran: string[] = [];
  /** What the tool does before its first output. */
  before: (context: ToolContext) => Promise<void> = async () => {};
  /** What it does after that. */
  during: (context: ToolContext) => Promise<void> = async () => {};
  /** What it does when a terminal is looked for. There is none. */
  onTerminal: () => void = () => {};
  readonly approvals: Approvals;
  readonly #stop: () => Promise<void>;

  private constructor(member: Member, url: string, approvals: Approvals, stop: () => Promise<void>) {
    this.member = member;
    this.url = url;
    this.approvals = approvals;
    this.#stop = stop;
  }

  static async start(name: string, holders: Holders, fallback: 'new' | 'owner'): Promise<GroupServer> {
    const member = await Member.start(name);
    const locator = holders.locatorOf(member);
    const approvals = new Approvals({ log });
    const echo = echoTool(async (input, context) => {
      const id = resolveSession(input, context);
      server.ran.push(id);
      await server.before(context);
      await context.emit({ type: 'stdout', text: `in ${id}` });
      await server.during(context);
      if (input.text === 'fail') throw new GloveboxError('session_not_found', 'It is not there.');
      return { session_id: id, text: `${name} ${input.text}` };
    });
    const tool = { ...echo, takesInput: true };
    const kept = {
      streams: new EventStreams({ mark: (id) => peers.mark(id), graceMs: 100 }),
      keys: new IdempotencyKeys(),
    };
    const peers: Peers = new Peers({
      ...{ listener: member.listener, keys: member.keys, tools: [tool], patienceMs: 3000, log },
      join: async () => ({ group: member, locator }),
      has: (owner, { id }) => kept.streams.has(owner, id) || kept.keys.has(owner, id),
      fallback: { rest: fallback, mcp: fallback },
    });
    const getAdopted = async () => {
      server.onTerminal();
      throw new GloveboxError('terminal_not_found', `${name} has none.`);
    };
    const stopping = new AbortController();
    const served = await startProtocolServer({
      tools: [tool],
      mcpTools: peers.forwardTools([tool]),
      ...{ log, mark: peers.mark },
      app: {
        ...{ peers, kept, fallback, approvals, closing: stopping.signal },
        sessions: Object.assign(fakeSessions(), { getAdopted }),
      },
    });
    const closing = new AbortController();
    peers.serve(served.app, closing.signal);
    const server: GroupServer = new GroupServer(member, served.url, approvals, async () => {
      await peers[Symbol.asyncDispose]();
      await served[Symbol.asyncDispose]();
    });
    server.closing.signal.addEventListener('abort', () => closing.abort());
    server.stopping.signal.addEventListener('abort', () => stopping.abort());
    return server;
  }

  /** As if it were killed. */
  async stop(): Promise<void> {
    await this.member[Symbol.asyncDispose]();
    await this.#stop();
  }
}

/** Sends a request with a body in JSON. */
export function post(
  { url }: GroupServer,
  path: string,
  body: object | undefined,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${url}${path}`, {
    method: 'POST',
    headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
}

/** A call of the tool. */
export function call(session_id?: string, text = 'hi') {
  return { name: 'echo', arguments: { text, session_id } };
}

/** The error of a call whose session has moved. */
export function moved(begun: boolean): GloveboxError {
  return new GloveboxError('session_moved', 'It has moved.', { begun });
}
