import { Client, StreamableHTTPClientTransport, withInputRequired } from '@modelcontextprotocol/client';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { echoTool, startProtocolServer } from '../../test/mcp/protocol-server.ts';
import { LEGACY_HTTP, MODERN_HTTP, type ShowForm, type ShownForm } from '../../test/support/mcp-clients.ts';
import { Approvals } from '../approvals/approvals.ts';
import { createLog } from '../log.ts';

const log = createLog('error');

/** A tool whose code asks before each of the calls that its text names, and says what became of each. */
function openAsking() {
  const approvals = new Approvals({ log });
  const tool = {
    ...echoTool(async ({ text }, { elicit, signal, caller: { owner } }) => {
      const caller = { owner, sessionId: 'gbx_1', executionId: 'exe_1' };
      const answers: string[] = [];
      for (const round of text.split(';')) {
        const asked = round.split(',').map((name) => {
          const args = { what: `hostile \u202e\u001b[2J${name}` };
          return approvals.ask(
            { caller, server: 'files', tool: name, arguments: args, mode: 'writes' },
            { elicit },
            { signal },
          );
        });
        answers.push(...(await Promise.all(asked)));
      }
      return { session_id: 'gbx_1', text: answers.join() };
    }),
    takesInput: true,
  };
  return { approvals, tool };
}

/** A user who answers so, time after time, and what was shown. */
function userWho(...answers: (string | 'decline' | 'cancel')[]) {
  const shown: ShownForm[] = [];
  const elicit: ShowForm = async (form) => {
    shown.push(form);
    const answer = answers.shift() ?? 'cancel';
    if (answer === 'decline' || answer === 'cancel') return { action: answer };
    return { action: 'accept', content: { answer } };
  };
  return { shown, elicit };
}

describe.each([...LEGACY_HTTP, ...MODERN_HTTP])('the user of a stock client (%s)', (_name, connect) => {
  test('is asked, and answers: once, for the session, refused, or not at all', async () => {
    const { tool } = openAsking();
    await using server = await startProtocolServer({ tools: [tool], log });
    const { shown, elicit } = userWho('once', 'for this session', 'refuse', 'decline', 'cancel');
    await using client = await connect(server, { elicit });
    const { structuredContent } = await client.call('echo', { text: 'write;write;write;erase;erase;erase' });
    expect(structuredContent?.['text']).toBe('once,session,session,refused,refused,refused');
    expect(shown).toHaveLength(5);
    expect(shown[0]).toEqual({
      message:
        'May code in session gbx_1 call the tool write of files?\n' +
        'Arguments: {"what":"hostile \\u202e\\u001b[2Jwrite"}\nExecution exe_1',
      requestedSchema: {
        type: 'object',
        properties: { answer: { type: 'string', title: 'Allow it', enum: ['once', 'for this session', 'refuse'] } },
        required: ['answer'],
      },
    });
  });

  test('is asked no more of what was answered for the session while several waited', async () => {
    const { tool } = openAsking();
    await using server = await startProtocolServer({ tools: [tool], log });
    const { elicit } = userWho(...Array.from({ length: 3 }, () => 'for this session'));
    await using client = await connect(server, { elicit });
    const { structuredContent } = await client.call('echo', { text: 'write,write,write' });
    expect(structuredContent?.['text']).toBe('session,session,session');
  });

  test('cannot be asked by a client without forms: what would have been asked is refused at once', async () => {
    const { tool } = openAsking();
    await using server = await startProtocolServer({ tools: [tool], log });
    await using client = await connect(server);
    const { structuredContent } = await client.call('echo', { text: 'write' });
    expect(structuredContent?.['text']).toBe('unavailable');
  });
});

test.each(LEGACY_HTTP)('a question is over when its call is cancelled (%s)', async (_name, connect) => {
  const { tool, approvals } = openAsking();
  await using server = await startProtocolServer({ tools: [tool], log });
  const cancel = new AbortController();
  const elicit: ShowForm = () => {
    cancel.abort();
    return new Promise(() => {});
  };
  await using client = await connect(server, { elicit });
  await expect(client.call('echo', { text: 'write' }, { signal: cancel.signal })).rejects.toThrow();
  await expect.poll(() => approvals.pending()).toEqual([]);
});

test.each(MODERN_HTTP)(
  'a call that asks nothing ends with its client, and tells progress (%s)',
  async (_name, connect) => {
    const ended = Promise.withResolvers<void>();
    const tool = {
      ...echoTool(async (_input, { emit, signal }) => {
        void emit({ type: 'stdout', text: 'begun' });
        signal.addEventListener('abort', () => ended.resolve());
        await ended.promise;
        return { session_id: 's', text: '' };
      }),
      takesInput: true,
    };
    await using server = await startProtocolServer({ tools: [tool], log });
    await using client = await connect(server, { elicit: userWho().elicit });
    const cancel = new AbortController();
    const told: (string | undefined)[] = [];
    const onprogress = ({ message }: { message?: string | undefined }) => {
      told.push(message);
      cancel.abort();
    };
    await expect(client.call('echo', { text: '' }, { signal: cancel.signal, onprogress })).rejects.toThrow();
    await ended.promise;
    expect(told).toEqual(['begun']);
  },
);

describe('a call of the newest protocol whose client comes back by itself', () => {
  const anyResult = z.looseObject({
    inputRequests: z.record(z.string(), z.unknown()).optional(),
    requestState: z.string().optional(),
    structuredContent: z.record(z.string(), z.unknown()).optional(),
  });

  async function connectByHand(url: string, headers: Record<string, string> = {}) {
    const client = new Client(
      { name: 'by hand', version: '1' },
      { versionNegotiation: { mode: { pin: '2026-07-28' } }, capabilities: { elicitation: {} } },
    );
    await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', url), { requestInit: { headers } }));
    const send = async (params: Record<string, unknown>) => {
      const request = { method: 'tools/call', params: { name: 'echo', ...params } };
      const answer = await client.request(request, withInputRequired(anyResult), { allowInputRequired: true });
      return anyResult.parse(answer);
    };
    return { send, [Symbol.asyncDispose]: () => client.close() };
  }
  const accept = (answer: string) => ({ action: 'accept', content: { answer } });

  test('is refused by an answer that is none', async () => {
    const { tool } = openAsking();
    await using server = await startProtocolServer({ tools: [tool], log });
    await using client = await connectByHand(server.url);
    for (const answer of [accept('what?'), { action: 'accept' }, { action: 'accept', content: { answer: '' } }]) {
      const { inputRequests = {}, requestState } = await client.send({ arguments: { text: 'write' } });
      const inputResponses = { [Object.keys(inputRequests)[0] ?? '']: answer };
      const end = await client.send({ arguments: { text: 'write' }, requestState, inputResponses });
      expect(end.structuredContent).toMatchObject({ text: 'refused' });
    }
  });

  test('is answered once, if it does so twice, and both get its end', async () => {
    const { tool, approvals } = openAsking();
    await using server = await startProtocolServer({ tools: [tool], log });
    await using client = await connectByHand(server.url);
    const first = await client.send({ arguments: { text: 'write;erase' } });
    const [id = ''] = Object.keys(first.inputRequests ?? {});
    const retry = (answer: string) =>
      client.send({
        arguments: { text: 'write;erase' },
        requestState: first.requestState,
        inputResponses: { [id]: accept(answer) },
      });
    const both = await Promise.all([retry('once'), retry('refuse')]);
    const [second] = both;
    const ids = both.map(({ inputRequests }) => Object.keys(inputRequests ?? {})[0] ?? '');
    expect(ids[0]).toBe(ids[1]);
    expect(approvals.pending()).toMatchObject([{ id: ids[0], tool: 'erase' }]);
    const end = await client.send({
      arguments: { text: 'anything' },
      requestState: second?.requestState,
      inputResponses: { [ids[0] ?? '']: accept('once') },
    });
    expect(end.structuredContent).toMatchObject({ text: 'once,once' });
    const late = await retry('refuse');
    expect(late.structuredContent).toMatchObject({ text: 'once,once' });
  });

  test('is told of what was answered elsewhere, and asked again for what it left open', async () => {
    const { tool, approvals } = openAsking();
    approvals.answerWith({ mayAnswer: () => true });
    await using server = await startProtocolServer({ tools: [tool], log });
    await using client = await connectByHand(server.url);
    const first = await client.send({ arguments: { text: 'write' } });
    const again = await client.send({ arguments: { text: 'write' }, requestState: first.requestState });
    expect(Object.keys(again.inputRequests ?? {})).toEqual(Object.keys(first.inputRequests ?? {}));
    approvals.decide(approvals.pending()[0]?.id ?? '', 'refuse', { name: 'bob' });
    const end = await client.send({ arguments: { text: 'write' }, requestState: again.requestState });
    expect(end.structuredContent).toMatchObject({ text: 'refused' });
  });

  test.each<[string, (state: string) => string]>([
    ['changed', (state) => `${state.slice(0, -4)}AAAA`],
    ['of another process', () => 'v1.e30.AAAA'],
    ['none', () => 'x'.repeat(100_000)],
  ])('finds nothing by a state that is %s', async (_what, change) => {
    const { tool, approvals } = openAsking();
    await using server = await startProtocolServer({ tools: [tool], log });
    await using client = await connectByHand(server.url);
    const first = await client.send({ arguments: { text: 'write' } });
    const [id = ''] = Object.keys(first.inputRequests ?? {});
    const refused = await client.send({
      arguments: { text: 'write' },
      requestState: change(first.requestState ?? ''),
      inputResponses: { [id]: accept('once') },
    });
    expect(refused).toMatchObject({ isError: true, _meta: { 'glovebox/error': { code: 'execution_not_found' } } });
    expect(approvals.pending()).toHaveLength(1);
  });

  test('finds nothing by the state of another owner', async () => {
    const { tool, approvals } = openAsking();
    const authenticate = async (request: Request) => ({ owner: request.headers.get('x-user') ?? 'alice' });
    await using server = await startProtocolServer({ tools: [tool], log, app: { authenticate } });
    await using alice = await connectByHand(server.url);
    await using bob = await connectByHand(server.url, { 'x-user': 'bob' });
    const { requestState } = await alice.send({ arguments: { text: 'write' } });
    const refused = await bob.send({ arguments: { text: 'write' }, requestState });
    expect(refused).toMatchObject({ isError: true, _meta: { 'glovebox/error': { code: 'execution_not_found' } } });
    expect(approvals.pending()).toHaveLength(1);
  });
});
