import type { Readable, Writable } from 'node:stream';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import type { Connection } from './connection.ts';
import { MessageCheck } from './message-check.ts';
import type { McpServers } from './server.ts';

export interface StdioOptions {
  readonly owner: string;
  /** Size of a message in bytes; a client that sends a larger one is disconnected. */
  readonly maxMessageBytes: number;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  /** Ends the connection when it aborts. */
  readonly signal?: AbortSignal;
}

class EndingTransport extends StdioServerTransport {
  readonly #ended = Promise.withResolvers<void>();
  readonly ended = this.#ended.promise;

  override async close(): Promise<void> {
    await super.close();
    this.#ended.resolve();
  }
}

/**
 * Serves MCP on stdin and stdout. Resolves when the client disconnects; running calls are then aborted. All calls of
 * the process use one session. It is created at the first call, as clients also start processes only to list the tools.
 */
export async function runStdio(servers: McpServers, options: StdioOptions): Promise<void> {
  const { stdin = process.stdin, stdout = process.stdout, owner, maxMessageBytes, signal } = options;
  const connection: Connection = { owner, binding: {}, running: 0 };
  const checked = new MessageCheck(maxMessageBytes, (answer) => stdout.write(answer));
  stdin.once('error', (error) => checked.destroy(error)).pipe(checked);
  const transport = new EndingTransport(checked, stdout, { maxBufferSize: maxMessageBytes });
  const handle = serveStdio(() => servers.make(connection), {
    transport,
    onerror: (error) => servers.log.debug('MCP protocol error.', { cause: error }),
  });
  const end = () => void handle.close();
  signal?.addEventListener('abort', end, { once: true });
  if (signal?.aborted) end();
  await transport.ended;
  signal?.removeEventListener('abort', end);
  await handle.close();
  stdin.unpipe(checked).pause(); // A stream that flows would keep the process alive.
}
