import type { McpServer, Tool } from '@modelcontextprotocol/server';
import type { McpTool } from '../tool.ts';
import { knowsTasks } from './experimental.ts';

/** Lists tools. Clients that have said that they know tasks are told which tools can be called as tasks. */
export function listTools(tools: readonly McpTool[], server: McpServer['server']): Tool[] {
  if (!knowsTasks(server)) return tools.map(({ listed }) => listed);
  return tools.map(({ listed, maybeTask }) =>
    maybeTask ? { ...listed, execution: { taskSupport: 'optional' as const } } : listed,
  );
}
