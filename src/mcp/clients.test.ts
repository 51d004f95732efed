import { Client, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as OldSse } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport as OldTransport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { describe, expect, test } from 'vitest';
import { type EchoTool, echoTool, resolveSession, startProtocolServer } from '../../test/protocol-server.ts';
import { GloveboxError } from '../errors.ts';

interface CallOptions {
  signal?: AbortSignal;
  onprogress?: (progress: { progress: number; message?: string | undefined }) => void;
}

/** What the tests need of a stock client, whichever it is. */
interface StockClient {
  list(): Promise<{ name: string }[]>;
  call(name: string, args: Record<string, unknown>, options?: CallOptions): Promise<CallAnswer>;
  instructions(): string | undefined;
  close(): Promise<void>;
}

interface CallAnswer {
  content: { text?: string }[];
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
  _meta?: Record<string, unknown>;
}

const info = { name: 'test', version: '1' };

async function connectOld(transport: OldTransport): Promise<StockClient> {
  const client = new OldClient(info);
  await client.connect(transport);
  return {
    list: async () => (await client.listTools()).tools,
    call: async (name, args, options) =>
      (await client.callTool({ name, arguments: args }, undefined, options)) as CallAnswer,
    instructions: () => client.getInstructions(),
    close: () => client.close(),
  };
}

async function connectNew(
  transport: StreamableHTTPClientTransport | SSEClientTransport,
  mode: 'legacy' | 'auto' | { pin: string } = 'legacy',
): Promise<StockClient> {
  const client = new Client(info, { versionNegotiation: { mode } });
  await client.connect(transport);
  return {
    list: async () => (await client.listTools()).tools,
    call: async (name, args, options) => (await client.callTool({ name, arguments: args }, options)) as CallAnswer,
    instructions: () => client.getInstructions(),
    close: () => client.close(),
  };
}

type Connect = (url: string) => Promise<StockClient>;
const mcp = (url: string) => new URL('/mcp', url);
const sse = (url: string) => new URL('/sse', url);

const BOUND: readonly [string, Connect][] = [
  ['v1, streamable HTTP', (url) => connectOld(new OldHttp(mcp(url)) as OldTransport)],
  ['v1, SSE', (url) => connectOld(new OldSse(sse(url)))],
  ['v2, by default', (url) => connectNew(new StreamableHTTPClientTransport(mcp(url)))],
  ['v2, SSE', (url) => connectNew(new SSEClientTransport(sse(url)))],
];
const UNBOUND: readonly [string, Connect][] = [
  ['v2, auto', (url) => connectNew(new StreamableHTTPClientTransport(mcp(url)), 'auto')],
  ['v2, pinned', (url) => connectNew(new StreamableHTTPClientTransport(mcp(url)), { pin: '2026-07-28' })],
];

describe.each([...BOUND, ...UNBOUND])('a stock client (%s)', (_name, connect) => {
  test('lists, calls and reads instructions', async () => {
    await using server = await startProtocolServer();
    const client = await connect(server.url);
    expect(client.instructions()).toBe('Say something.');
    expect(await client.list()).toMatchObject([{ name: 'echo', annotations: { destructiveHint: true } }]);
    const answer = await client.call('echo', { text: 'hi' });
    expect(answer.structuredContent).toMatchObject({ text: 'hi' });
    expect(answer.content[0]?.text).toBe(`hi\nsession ${answer.structuredContent?.['session_id']}`);
    await client.close();
  });

  test('reads errors as results: what was wrong, and what to do', async () => {
    const tool = echoTool(async () => {
      throw new GloveboxError('capacity_exceeded', 'No room.');
    });
    await using server = await startProtocolServer({ tools: [tool] });
    const client = await connect(server.url);
    const refused = await client.call('echo', { txt: 'hi' });
    expect(refused.isError).toBe(true);
    expect(refused.content[0]?.text).toMatch(
      /^echo has no argument "txt"; needs the argument "text"\.\nDid you mean "text"\?/,
    );
    expect(refused._meta?.['glovebox/error']).toMatchObject({ code: 'invalid_input' });
    const failed = await client.call('echo', { text: 'hi' });
    expect(failed.content[0]?.text).toMatch(/^No room\.\nClose a session/);
    await expect(client.call('ecko', {})).rejects.toThrow('Did you mean echo? Tools: echo.');
    await client.close();
  });

  test('gets pictures as images and files as links', async () => {
    const output = { results: [{ text: 'f', png: 'AAAA' }], files: [{ path: 'plot.png', size: 3 }] };
    const tool = echoTool(async ({ text }) => ({ session_id: 's', text, ...output }));
    await using server = await startProtocolServer({ tools: [tool] });
    const client = await connect(server.url);
    const answer = await client.call('echo', { text: 'hi' });
    expect(answer.content).toMatchObject([
      { type: 'text', text: 'hi\nsession s' },
      { type: 'image', data: 'AAAA', mimeType: 'image/png' },
      { type: 'resource_link', uri: 'glovebox://sessions/s/files/plot.png', mimeType: 'application/octet-stream' },
    ]);
    expect(answer.structuredContent?.['results']).toEqual([{ text: 'f', attached: ['png'] }]);
    await client.close();
  });

  test('gets progress in order, several texts in one message', async () => {
    const heard: [number, string | undefined][] = [];
    const arrivals = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const tool = echoTool(async (input, { emit, ...context }) => {
      void emit({ type: 'stdout', text: 'a' });
      await arrivals[0]?.promise;
      void emit({ type: 'stdout', text: 'b' });
      void emit({ type: 'stderr', text: 'c' });
      await arrivals[1]?.promise;
      return { session_id: resolveSession(input, { emit, ...context }), text: '' };
    });
    await using server = await startProtocolServer({ tools: [tool] });
    const client = await connect(server.url);
    const onprogress: CallOptions['onprogress'] = ({ progress, message }) => {
      heard.push([progress, message]);
      arrivals[heard.length - 1]?.resolve();
    };
    await client.call('echo', { text: '' }, { onprogress });
    expect(heard).toEqual([
      [1, 'a'],
      [2, 'bc'],
    ]);
    await client.close();
  });

  test('cancels a call', async () => {
    const { tool, begun, aborted } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    const client = await connect(server.url);
    const cancel = new AbortController();
    const call = client.call('echo', { text: '' }, { signal: cancel.signal });
    await begun;
    cancel.abort();
    await expect(call).rejects.toThrow();
    await aborted;
    await client.close();
  });
});

describe('the session that calls continue in', () => {
  const used = async (client: StockClient, args: object = {}) =>
    (await client.call('echo', { text: '', ...args })).structuredContent?.['session_id'];

  test.each(BOUND)('stays with the connection (%s)', async (_name, connect) => {
    await using server = await startProtocolServer();
    const [one, other] = [await connect(server.url), await connect(server.url)];
    const first = await used(one);
    expect(await used(one)).toBe(first);
    expect(await used(other)).not.toBe(first);
    expect(await used(other, { session_id: 'mine' })).toBe('mine');
    await Promise.all([one.close(), other.close()]);
  });

  test.each(UNBOUND)('is new for each that names none (%s)', async (_name, connect) => {
    await using server = await startProtocolServer();
    const client = await connect(server.url);
    expect(await used(client)).not.toBe(await used(client));
    await client.close();
  });

  test('can be named by the header, whatever the protocol', async () => {
    await using server = await startProtocolServer();
    const requestInit = { headers: { 'X-Session-Id': 'named' } };
    const clients = [
      await connectOld(new OldHttp(mcp(server.url), { requestInit }) as OldTransport),
      await connectOld(new OldSse(sse(server.url), { requestInit })),
      await connectNew(new StreamableHTTPClientTransport(mcp(server.url), { requestInit }), { pin: '2026-07-28' }),
    ];
    for (const client of clients) expect(await used(client)).toBe('named');
    await Promise.all(clients.map((client) => client.close()));
  });
});

function waitingTool(): { tool: EchoTool; begun: Promise<void>; aborted: Promise<void> } {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const tool = echoTool(async (_input, { signal }) => {
    begun.resolve();
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    aborted.resolve();
    return { session_id: 's', text: '' };
  });
  return { tool, begun: begun.promise, aborted: aborted.promise };
}
