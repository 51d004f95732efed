import type { RecordedWebGrant, WebAccess, WebGrant } from '../../egress/web-access.ts';
import { ExecutionClock } from '../../execution/execution-clock.ts';
import type { ExecutionResult } from '../../execution/result.ts';
import type { RecordedGrant, ToolAccess, ToolCall, ToolGrant, ToolRequest } from '../../execution/tool-access.ts';
import type { WebUse } from '../../execution/web-summary.ts';
import { webUseOf, withWeb } from '../../execution/web-use.ts';
import { webVariables } from '../../execution/web-variables.ts';

/** Variable with what code shows to call tools. */
const TOOLS_TOKEN = 'GLOVEBOX_TOOLS_TOKEN';

/** Session whose executions have access to things outside their sandbox. */
export interface AccessSession {
  readonly id: string;
  readonly owner: string;
  /** Gives executions access to tools. */
  readonly tools?: ToolAccess | undefined;
  /** Gives executions access to other hosts. */
  readonly web?: WebAccess | undefined;
  /** Patterns of hosts to which all its executions are narrowed. */
  readonly webPatterns?: readonly string[] | undefined;
  readonly background: { record(id: string): void };
}

/** What an execution asks for. */
export interface AccessOptions {
  readonly tools?: readonly string[] | undefined;
  readonly clientTools?: ToolRequest['clientTools'];
  readonly approvals?: ToolRequest['approvals'];
  readonly onEvent?: ToolRequest['onEvent'];
  readonly clock?: ExecutionClock | undefined;
  /** Patterns of hosts that it may reach, of those that its session may. */
  readonly web?: readonly string[] | undefined;
  /** Variables that its caller has given it. They go before those of the proxy. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** Access as the next control plane needs it. */
export interface RecordedAccess {
  readonly tools?: RecordedGrant | undefined;
  readonly web?: RecordedWebGrant | undefined;
}

interface Grants {
  readonly tools?: ToolGrant | undefined;
  readonly web?: WebGrant | undefined;
}

/** What one execution may use outside its sandbox: tools and other hosts. It ends with the execution. */
export class ExecutionAccess implements Disposable {
  readonly #grants: Grants;

  constructor(grants: Grants) {
    this.#grants = grants;
  }

  /** Calls of tools that it has made so far. */
  get calls(): readonly ToolCall[] {
    return this.#grants.tools?.calls ?? [];
  }

  /** What it has done on other hosts so far. */
  get web(): WebUse | undefined {
    return this.#grants.web && webUseOf(this.#grants.web);
  }

  get recorded(): RecordedAccess {
    const { tools, web } = this.#grants;
    return { ...(tools ? { tools: tools.recorded } : {}), ...(web ? { web: web.recorded } : {}) };
  }

  /** Adds to a result what it has used. */
  tellIn(result: ExecutionResult): ExecutionResult {
    const { calls } = this;
    const told = calls.length > 0 ? { ...result, toolCalls: calls } : result;
    return this.#grants.web ? withWeb(told, this.#grants.web) : told;
  }

  [Symbol.dispose](): void {
    this.#grants.tools?.[Symbol.dispose]();
    this.#grants.web?.[Symbol.dispose]();
  }
}

/** Access of an execution that is to begin. */
export interface OpenedAccess {
  /** Undefined if it has none. */
  readonly access: ExecutionAccess | undefined;
  /** Clock of its time limit. */
  readonly clock: ExecutionClock | undefined;
  /** Variables by which its program finds the access, with those that it was given. */
  readonly env: Readonly<Record<string, string>> | undefined;
}

/**
 * Gives an execution the access that it is to have.
 * @throws GloveboxError `invalid_input` for an unknown server, or a host that its session may not reach
 */
export function openAccess(session: AccessSession, executionId: string, options: AccessOptions): OpenedAccess {
  const { id: sessionId, owner, background } = session;
  const about = { owner, sessionId, executionId, onRecord: () => background.record(executionId) };
  const web = session.web?.open({ ...about, session: session.webPatterns, patterns: options.web });
  try {
    const { env, tools: servers, clientTools, approvals, onEvent, clock = new ExecutionClock() } = options;
    const tools = session.tools?.open({ ...about, servers, clientTools, approvals, clock, onEvent });
    if (!tools && !web) return { access: undefined, clock: options.clock, env };
    const variables = {
      ...(web ? webVariables(web.token) : {}),
      ...env,
      ...(tools ? { [TOOLS_TOKEN]: tools.token } : {}),
    };
    return { access: new ExecutionAccess({ tools, web }), clock: tools ? clock : options.clock, env: variables };
  } catch (error) {
    web?.[Symbol.dispose]();
    throw error;
  }
}

/** Gives an execution of an earlier control plane the access again that it had. Undefined if it had none. */
export function reopenAccess(
  { id: sessionId, owner, tools, web, background }: AccessSession,
  executionId: string,
  recorded: RecordedAccess,
  clock: ExecutionClock,
): ExecutionAccess | undefined {
  const about = { owner, sessionId, executionId, onRecord: () => background.record(executionId) };
  const grants = {
    tools: recorded.tools && tools?.reopen(recorded.tools, { ...about, clock }),
    web: recorded.web && web?.reopen(recorded.web, about),
  };
  return grants.tools || grants.web ? new ExecutionAccess(grants) : undefined;
}
