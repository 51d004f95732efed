import type { Config } from './config/load.ts';
import { type Glovebox, limitsOf, parseRequirement } from './glovebox.ts';
import { hasOwners } from './lib/login/auth-kind.ts';
import type { Log } from './log.ts';
import { describeHosts, describeToolServers, writeInstructions } from './mcp/instructions.ts';
import { createMcpServers, type McpOptions, type McpServers } from './mcp/server.ts';
import { TASK_TIMES } from './mcp/tasks/call.ts';
import type { Fallback } from './mcp/tool.ts';
import type { AnyTool } from './tools/description.ts';
import { createTools } from './tools/index.ts';
import { version } from './version.ts';

/**
 * What one byte of text takes in JSON at most, as those of `é` do in `\\u00e9`; control characters, of which no text is made,
 * take more. Code and stdin may both be at their limit.
 */
const ESCAPED_BYTES = 3;
/** Bytes for the rest of a request. */
const OTHER_BYTES = 1024 * 1024;

/** What code may use outside its sandbox. Default: nothing. */
interface Outside extends Partial<Pick<Glovebox, 'toolServers'>> {
  readonly web?: Pick<Glovebox['web'], 'isOn'>;
}

/** Makes the tools as the settings have them. */
export function createToolsFor(config: Config, { toolServers, web }: Outside = {}): readonly AnyTool[] {
  return createTools({ ...limitsOf(config), hasWeb: web?.isOn ?? false }, parseRequirement, toolServers);
}

/** Bytes that a request for a tool may have. */
export function maxRequestBytes({ codeLimit }: Config): number {
  return codeLimit * ESCAPED_BYTES * 2 + OTHER_BYTES;
}

/** What MCP has beside its tools. */
export interface McpParts extends Pick<McpOptions, 'audit'> {
  readonly extend?: McpOptions['extend'] | undefined;
  readonly mark?: McpOptions['mark'];
}

/** Serves the tools of a Glovebox over MCP; the transport is the caller's. */
export function createMcp(
  glovebox: Glovebox,
  config: Config,
  log: Log,
  tools: readonly AnyTool[],
  { audit, extend, mark }: McpParts = {},
): McpServers {
  const { sessions, snapshots, web } = glovebox;
  return createMcpServers({
    ...{ tools, audit },
    sessions,
    snapshots,
    version,
    log,
    instructions: writeInstructions({ ...config, hasWeb: web.isOn }),
    ofOwner: instructionsOfOwner(glovebox),
    fallback: fallbackOf(config),
    tasks: { times: { ...TASK_TIMES, inlineMs: config.taskAfterS * 1000 } },
    mark,
    ...(extend ? { extend } : {}),
  });
}

/** Returns what instructions say of what code of an owner may use. Undefined if there is nothing for anybody. */
function instructionsOfOwner({ toolServers, web }: Glovebox): ((owner: string) => string) | undefined {
  if (!toolServers && !web.isOn) return undefined;
  return (owner) => {
    const parts = [
      describeToolServers(toolServers?.servers(owner) ?? []),
      describeHosts(web.describe(owner), web.addressesWithSecrets(owner)),
    ];
    return parts.filter(Boolean).join('\n');
  };
}

/**
 * A client of the newest protocol has no connection that a session could belong to: where nobody is asked for a key,
 * there is one user, whose calls go on in one session as they do over REST.
 */
export function fallbackOf({ defaultSession, auth }: Config): Fallback {
  const request = defaultSession ?? (hasOwners(auth) ? 'new' : 'owner');
  return { connection: defaultSession ?? 'new', request };
}
