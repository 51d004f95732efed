import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Violation } from './calls.ts';

const LIMIT_MS = 60_000;

/** Stock MCP clients, of both generations of the protocol, that change their mind in mid-call. */
export interface Cancelling extends AsyncDisposable {
  /** Calls `execute_python` and takes it back; `by` says which of the clients it is that does. */
  call(by: number, args: Record<string, unknown>, signal: AbortSignal): Promise<void>;
}

export async function openCancelling(url: string): Promise<Cancelling> {
  const modes = ['legacy', { pin: '2026-07-28' }, 'legacy', { pin: '2026-07-28' }] as const;
  const clients = modes.map(
    (mode) => new Client({ name: 'glovebox-soak', version: '1' }, { versionNegotiation: { mode } }),
  );
  for (const client of clients) await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`)));
  return {
    call: async (by, args, signal) => {
      const client = clients[by % clients.length] as Client;
      const started = performance.now();
      const answer = await client
        .callTool({ name: 'execute_python', arguments: args }, { signal, timeout: LIMIT_MS })
        .catch(() => undefined);
      if (answer) throw new Violation(`A cancelled call was answered: ${JSON.stringify(answer).slice(0, 300)}`);
      if (performance.now() - started >= LIMIT_MS) throw new Violation('A cancelled call hung.');
    },
    [Symbol.asyncDispose]: async () => void (await Promise.all(clients.map((client) => client.close()))),
  };
}
