import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { type EchoTool, echoTool, fakeSessions, fakeSnapshots } from '../../test/mcp/protocol-server.ts';
import { createLog } from '../log.ts';
import { createMcpServers } from './server.ts';
import { runStdio } from './stdio.ts';

const initialize = {
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } },
};
const toolCall = { method: 'tools/call', params: { name: 'echo', arguments: { text: 'hi' } } };

function start(tool: EchoTool, options: { maxMessageBytes?: number; signal?: AbortSignal } = {}) {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const shared = {
    sessions: fakeSessions(),
    snapshots: fakeSnapshots(),
    version: '0',
    instructions: '',
    log: createLog('error'),
  };
  const servers = createMcpServers({ tools: [tool], ...shared });
  const done = runStdio(servers, { owner: 'local', maxMessageBytes: 1_000_000, stdin, stdout, ...options });
  const lines = createInterface(stdout)[Symbol.asyncIterator]();
  const send = (message: object) => stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  const receive = async () => JSON.parse((await lines.next()).value as string);
  return { stdin, done, send, receive };
}

test('calls continue in one session, and the end of stdin ends it all', async () => {
  const { stdin, done, send, receive } = start(echoTool());
  send({ id: 0, ...initialize });
  expect(await receive()).toMatchObject({ id: 0, result: { serverInfo: { name: 'glovebox' } } });
  const sessions: unknown[] = [];
  for (const id of [1, 2]) {
    send({ id, ...toolCall });
    sessions.push((await receive()).result.structuredContent.session_id);
  }
  expect(sessions[0]).toBe(sessions[1]);
  stdin.end();
  await done;
});

test('the newest protocol is spoken too, and its calls continue in one session as well', async () => {
  const { stdin, done, send, receive } = start(echoTool());
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const sessions: unknown[] = [];
  for (const id of [1, 2]) {
    send({ id, ...toolCall, params: { ...toolCall.params, _meta } });
    sessions.push((await receive()).result.structuredContent.session_id);
  }
  expect(sessions[0]).toBe(sessions[1]);
  stdin.end();
  await done;
});

test.each(['a cancelled notification', 'the end of stdin', 'our own end'])('%s aborts a call', async (what) => {
  const begun = Promise.withResolvers<AbortSignal>();
  const tool = echoTool(async ({ text }, { signal }) => {
    begun.resolve(signal);
    await once(signal, 'abort');
    return { session_id: 's', text };
  });
  const end = new AbortController();
  const { stdin, done, send, receive } = start(tool, { signal: end.signal });
  send({ id: 0, ...initialize });
  await receive();
  send({ id: 1, ...toolCall });
  const signal = await begun.promise;
  const aborted = once(signal, 'abort');
  if (what === 'a cancelled notification') send({ method: 'notifications/cancelled', params: { requestId: 1 } });
  else if (what === 'our own end') end.abort();
  else stdin.end();
  await aborted;
  stdin.end();
  await done;
});

test('a message beyond the limit ends the connection', async () => {
  const { done, send } = start(echoTool(), { maxMessageBytes: 1000 });
  send({ id: 0, ...initialize, padding: 'x'.repeat(2000) });
  await done;
});

test.each([
  ['an argument twice', '{"text": "a", "text": "b"}', '"text" is there twice'],
  ['values nested deeply', `{"text": ${'['.repeat(5000)}${']'.repeat(5000)}}`, 'nested more than'],
])('a message with %s is refused, and the next is served', async (_what, args, message) => {
  const { stdin, done, send, receive } = start(echoTool());
  send({ id: 0, ...initialize });
  await receive();
  const line = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":${args}}}\n`;
  stdin.write(line.slice(0, 40));
  stdin.write(line.slice(40));
  expect(await receive()).toMatchObject({ id: 7, error: { code: -32_600, message: expect.stringContaining(message) } });
  send({ id: 8, ...toolCall });
  expect(await receive()).toMatchObject({ id: 8, result: { structuredContent: { text: 'hi' } } });
  stdin.end();
  await done;
});
