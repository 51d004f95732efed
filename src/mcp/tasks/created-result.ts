import type { JSONRPCMessage, McpServer } from '@modelcontextprotocol/server';

/** What the SDK's own check of `tools/call` wants of each result, and the results of calls that are tasks do not have. */
export const NO_CONTENT = { content: [] };

/**
 * Sends the results that create tasks without `content`. The SDK refuses such results, which have none by the
 * specification, and readers that tell results apart by their fields would take them for those of ordinary calls.
 */
export function withoutEmptyContent(server: McpServer['server']): void {
  const connect = server.connect.bind(server);
  server.connect = async (transport) => {
    const send = transport.send.bind(transport);
    transport.send = (message, options) => send(stripped(message), options);
    await connect(transport);
  };
}

function stripped(message: JSONRPCMessage): JSONRPCMessage {
  if (!('result' in message)) return message;
  const { content, ...result } = message.result;
  const isCreated = result['resultType'] === 'task' || 'task' in result;
  return isCreated && Array.isArray(content) && content.length === 0 ? { ...message, result } : message;
}
