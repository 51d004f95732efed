import { describe, expect, test } from 'vitest';
import { type EchoTool, echoTool, resolveSession, startProtocolServer } from '../../test/mcp/protocol-server.ts';
import { type CallOptions, LEGACY_HTTP, MODERN_HTTP, type StockClient } from '../../test/support/mcp-clients.ts';
import { GloveboxError } from '../errors.ts';

describe.each([...LEGACY_HTTP, ...MODERN_HTTP])('a stock client (%s)', (_name, connect) => {
  test('lists, calls and reads instructions', async () => {
    await using server = await startProtocolServer();
    await using client = await connect(server);
    expect(client.instructions()).toBe('Say something.');
    expect(await client.list()).toMatchObject([{ name: 'echo', annotations: { destructiveHint: true } }]);
    const answer = await client.call('echo', { text: 'hi' });
    expect(answer.structuredContent).toMatchObject({ text: 'hi' });
    expect(answer.content[0]?.text).toBe(`hi\nsession ${answer.structuredContent?.['session_id']}`);
  });

  test('reads errors as results: what was wrong, and what to do', async () => {
    const tool = echoTool(async () => {
      throw new GloveboxError('capacity_exceeded', 'No room.');
    });
    await using server = await startProtocolServer({ tools: [tool] });
    await using client = await connect(server);
    const refused = await client.call('echo', { txt: 'hi' });
    expect(refused.isError).toBe(true);
    expect(refused.content[0]?.text).toMatch(
      /^echo has no argument "txt"; needs the argument "text"\.\nDid you mean "text"\?/,
    );
    expect(refused._meta?.['glovebox/error']).toMatchObject({ code: 'invalid_input' });
    const failed = await client.call('echo', { text: 'hi' });
    expect(failed.content[0]?.text).toMatch(/^No room\.\nClose a session/);
    await expect(client.call('ecko', {})).rejects.toThrow('Did you mean echo? Tools: echo.');
  });

  test('gets pictures as images and files as links', async () => {
    const output = { results: [{ text: 'f', png: 'AAAA' }], files: [{ path: 'plot.png', size: 3 }] };
    const tool = echoTool(async ({ text }) => ({ session_id: 's', text, ...output }));
    await using server = await startProtocolServer({ tools: [tool] });
    await using client = await connect(server);
    const answer = await client.call('echo', { text: 'hi' });
    expect(answer.content).toMatchObject([
      { type: 'text', text: 'hi\nsession s' },
      { type: 'image', data: 'AAAA', mimeType: 'image/png' },
      { type: 'resource_link', uri: 'glovebox://sessions/s/files/plot.png', mimeType: 'application/octet-stream' },
    ]);
    expect(answer.structuredContent?.['results']).toEqual([{ text: 'f', attached: ['png'] }]);
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
    await using client = await connect(server);
    const onprogress: CallOptions['onprogress'] = ({ progress, message }) => {
      heard.push([progress, message]);
      arrivals[heard.length - 1]?.resolve();
    };
    await client.call('echo', { text: '' }, { onprogress });
    expect(heard).toEqual([
      [1, 'a'],
      [2, 'bc'],
    ]);
  });

  test('cancels a call', async () => {
    const { tool, begun, aborted } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    await using client = await connect(server);
    const cancel = new AbortController();
    const call = client.call('echo', { text: '' }, { signal: cancel.signal });
    await begun;
    cancel.abort();
    await expect(call).rejects.toThrow();
    await aborted;
  });
});

describe('the session that calls continue in', () => {
  const used = async (client: StockClient, args: object = {}) =>
    (await client.call('echo', { text: '', ...args })).structuredContent?.['session_id'];

  test.each(LEGACY_HTTP)('stays with the connection (%s)', async (_name, connect) => {
    await using server = await startProtocolServer();
    await using one = await connect(server);
    await using other = await connect(server);
    const first = await used(one);
    expect(await used(one)).toBe(first);
    expect(await used(other)).not.toBe(first);
    expect(await used(other, { session_id: 'mine' })).toBe('mine');
  });

  test.each(MODERN_HTTP)('is new for each that names none (%s)', async (_name, connect) => {
    await using server = await startProtocolServer();
    await using client = await connect(server);
    expect(await used(client)).not.toBe(await used(client));
  });

  test.each([...LEGACY_HTTP, ...MODERN_HTTP])('can be named by the header (%s)', async (_name, connect) => {
    await using server = await startProtocolServer();
    await using client = await connect(server, { headers: { 'X-Session-Id': 'named' } });
    expect(await used(client)).toBe('named');
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
