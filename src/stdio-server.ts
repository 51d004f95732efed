import { openAuditLog } from './audit/audit-log.ts';
import type { Config } from './config/load.ts';
import type { Glovebox } from './glovebox.ts';
import type { Log } from './log.ts';
import { runStdio } from './mcp/stdio.ts';
import { createMcp, createToolsFor, maxRequestBytes } from './mcp-tools.ts';
import { LOCAL_OWNER } from './sessions/caller.ts';
import { auditTools } from './tools/audit/audited.ts';
import { auditEnds } from './tools/audit/ends.ts';

/**
 * Serves MCP on stdin and stdout until the client hangs up.
 * No key is asked for: whoever starts the process is who calls.
 */
export async function serveStdio(glovebox: Glovebox, config: Config, log: Log, signal: AbortSignal): Promise<void> {
  await using audit = await openAuditLog(config, glovebox.instance, log);
  const tools = auditTools(createToolsFor(config, glovebox), audit, 'stdio');
  using _kept = auditEnds(glovebox.sessions.ends, audit);
  const mcp = createMcp(glovebox, config, log, tools, { audit: audit && { audit, transport: 'stdio' } });
  await runStdio(mcp, { owner: LOCAL_OWNER, maxMessageBytes: maxRequestBytes(config), signal });
}
