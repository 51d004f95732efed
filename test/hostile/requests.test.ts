import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sendRaw } from '../support/raw-request.ts';
import { type Server, startServer } from '../support/server.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
/** A body of this many bytes is still read. */
const LARGE = 7 * 1024 * 1024 - 4096;
/** Seconds; such a body takes a tenth of it alone, and a machine that runs other tests some times that. */
const LONGEST_DELAY_S = 0.7;

const fields = (count: number) => Array.from({ length: count }, (_, index) => `"x${index}":1`).join(',');
const fill = (text: string) => text.repeat(Math.floor(LARGE / text.length));
const call = (tool: string, args: string) => `{"name":"${tool}","arguments":${args}}`;
const mcp = (args: string) =>
  `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_python","arguments":${args}}}`;

/** How long calls had to wait for the server's own work at most, in seconds, since the last look. */
async function longestDelayS(): Promise<number> {
  const { text } = await sendRaw(server.port, '/metrics');
  return Number(/^glovebox_event_loop_delay_seconds\{quantile="1"\} (\S+)$/m.exec(text)?.[1]);
}

describe('a request held up all other calls', () => {
  test.each<[what: string, path: string, body: string]>([
    ['400 000 unknown arguments', '/execute', call('execute_python', `{${fields(400_000)}}`)],
    ['as many unknown fields', '/execute', `{${fields(400_000)}}`],
    ['as many unknown arguments over MCP', '/mcp', mcp(`{${fields(400_000)}}`)],
    ['unknown arguments just below the limit', '/execute', call('execute_python', `{${fields(19_000)}}`)],
    ['arguments as the text of an object', '/execute', call('execute_python', JSON.stringify(`{${fields(300_000)}}`))],
    ['packages as the text of a list', '/execute', call('install_dependencies', `{"packages":"[${fill("'")}"}`)],
    ['a method of megabytes over MCP', '/mcp', `{"jsonrpc":"2.0","id":1,"method":"${fill('a')}"}`],
    ['nothing but escapes', '/execute', call('execute_python', `{"code":"${fill('\\"')}"}`)],
    [
      'base64 of nothing but spaces',
      '/execute',
      call('write_file', `{"path":"a","encoding":"base64","content":"${fill(' ')}"}`),
    ],
    ['deeply nested arguments over MCP', '/mcp', mcp(`${'{"a":'.repeat(500_000)}1${'}'.repeat(500_000)}`)],
  ])('with %s', async (_what, path, body) => {
    await longestDelayS();
    const answer = await sendRaw(server.port, path, { method: 'POST', headers: json, body });
    expect(answer.status).toBe(400);
    expect(await longestDelayS()).toBeLessThan(LONGEST_DELAY_S);
  });
});
