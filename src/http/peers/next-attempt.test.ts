import { once } from 'node:events';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { Holders } from '../../../test/support/group-member.ts';
import { call, GroupServer, moved, post } from '../../../test/support/group-server.ts';
import { GloveboxError } from '../../errors.ts';

let holders: Holders;
let one: GroupServer;
let two: GroupServer;
beforeEach(async () => {
  holders = new Holders();
  one = await GroupServer.start('group-one', holders, 'owner');
  two = await GroupServer.start('group-two', holders, 'owner');
  one.member.others = [two.member.self];
  two.member.others = [one.member.self];
  holders.set('local', 'theirs', two.member);
  holders.set('local', 'own', one.member);
});
afterEach(async () => {
  await one.stop();
  await two.stop();
});

/** Has a server give a call up before it begins, after it has named its session, because that has moved. */
function giveUp(from: GroupServer, session: string, to: GroupServer): void {
  from.before = async ({ emit }) => {
    from.before = async () => {};
    await emit({ type: 'session', session_id: session });
    await emit({ type: 'progress', message: 'It waits.', status: 'queued' });
    holders.set('local', session, to.member);
    throw moved(false);
  };
}

/** Kinds of the events of an answer, and the data of the last one. */
async function eventsOf(answer: Response) {
  const text = await answer.text();
  const kinds = [...text.matchAll(/^event: (.*)$/gm)].map(([, kind]) => kind);
  const last = text.trimEnd().split('\n\n').at(-1) ?? '';
  const [, data = '{}'] = /^data: (.*)$/m.exec(last) ?? [];
  return { kinds, data: JSON.parse(data) as Record<string, unknown>, id: /^id: (.*)$/m.exec(last)?.[1] };
}

describe('a stream of a call that was given up before it began', () => {
  test('goes on with the call at the new holder, which has passed it on', async () => {
    giveUp(two, 'theirs', one);
    const answer = await post(one, '/execute/stream', call('theirs'));
    expect(await eventsOf(answer)).toMatchObject({
      kinds: ['session', 'progress', 'stdout', 'result'],
      data: { result: { text: 'group-one hi' } },
    });
    expect([one.ran, two.ran]).toEqual([['theirs'], ['theirs']]);
  });

  test('goes on with the call at another server, where the server had begun to serve it itself', async () => {
    giveUp(one, 'own', two);
    const answer = await post(one, '/execute/stream', call('own'));
    expect(await eventsOf(answer)).toMatchObject({
      kinds: ['session', 'progress', 'stdout', 'result'],
      data: { result: { text: 'group-two hi' } },
    });
    expect([one.ran, two.ran]).toEqual([['own'], ['own']]);
  });

  test('goes on where the session is in the end, if it moves twice', async () => {
    giveUp(two, 'theirs', one);
    giveUp(one, 'theirs', two);
    const answer = await post(one, '/execute/stream', call('theirs'));
    expect((await eventsOf(answer)).data).toMatchObject({ result: { text: 'group-two hi' } });
  });

  test('goes on elsewhere, if its server shuts down', async () => {
    two.before = async () => {
      holders.set('local', 'theirs', one.member);
      two.stopping.abort();
      throw new GloveboxError('engine_unavailable', 'It stops.', { begun: false });
    };
    const answer = await post(one, '/execute/stream', call('theirs'));
    expect((await eventsOf(answer)).data).toMatchObject({ result: { text: 'group-one hi' } });
  });

  test('is not tried for ever, and ends with what the last holder says', async () => {
    two.before = () => Promise.reject(moved(false));
    const { kinds, data } = await eventsOf(await post(one, '/execute/stream', call('theirs')));
    expect([kinds, data]).toEqual([
      ['error'],
      { error: expect.objectContaining({ code: 'session_moved', begun: false }) },
    ]);
    expect(two.ran).toEqual(['theirs', 'theirs', 'theirs']);
  }, 10_000);

  test('ends with an error, if the next attempt meets one', async () => {
    two.before = async () => {
      two.before = async () => await two.member[Symbol.asyncDispose]();
      throw moved(false);
    };
    const { kinds, data } = await eventsOf(await post(one, '/execute/stream', call('theirs')));
    expect([kinds.at(-1), data]).toMatchObject(['error', { error: { code: 'session_moved', begun: true } }]);
  });

  test('is not sent again once some of its output has gone out', async () => {
    two.during = async () => {
      holders.set('local', 'theirs', one.member);
      throw moved(false);
    };
    const { data } = await eventsOf(await post(one, '/execute/stream', call('theirs')));
    expect(data).toEqual({ error: expect.objectContaining({ code: 'session_moved' }) });
    expect(one.ran).toEqual([]);
  });

  test('is not sent again, if its standard input comes by another request', async () => {
    giveUp(two, 'theirs', one);
    const headers = { 'idempotency-key': 'key' };
    const answer = await post(one, '/execute/stream?stdin=1', call('theirs'), headers);
    expect((await eventsOf(answer)).data).toEqual({
      error: expect.objectContaining({ code: 'session_moved', begun: false }),
    });
    expect(one.ran).toEqual([]);
  });

  test('leaves its key to the next attempt', async () => {
    const headers = { 'idempotency-key': 'key' };
    giveUp(two, 'theirs', one);
    const first = await eventsOf(await post(one, '/execute/stream', call('theirs'), headers));
    const second = await eventsOf(await post(two, '/execute/stream', call('theirs'), headers));
    expect([first.data, second.data]).toMatchObject([
      { result: { text: 'group-one hi' } },
      { result: { text: 'group-one hi' } },
    ]);
    expect([one.ran, two.ran]).toEqual([['theirs'], ['theirs']]);
  });

  test('can be taken up again where it has gone on', async () => {
    giveUp(two, 'theirs', one);
    const { id = '' } = await eventsOf(await post(one, '/execute/stream', call('theirs')));
    const before = id.replace(/\.\d+$/, '.1');
    const again = await post(two, '/execute/stream', call('theirs'), { 'last-event-id': before });
    expect(await eventsOf(again)).toMatchObject({ kinds: ['result'], data: { result: { text: 'group-one hi' } } });
  });
});

test('a call of MCP of the newest version that its holder gave up is served by the new one', async () => {
  giveUp(two, 'theirs', one);
  const client = new Client({ name: 't', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
  await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', one.url)));
  const { structuredContent } = await client.callTool(call('theirs'));
  expect(structuredContent).toMatchObject({ text: 'group-one hi' });
  await client.close();
});

test('a request for the WebSocket of a terminal that its holder gave up is served by the new one', async () => {
  two.onTerminal = () => {
    holders.set('local', 'theirs', one.member);
    throw moved(false);
  };
  const url = new URL('/sessions/theirs/terminals/t/attach', one.url.replace('http', 'ws'));
  const [, response] = await once(new WebSocket(url), 'unexpected-response');
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  expect(JSON.parse(Buffer.concat(pieces).toString())).toMatchObject({
    error: { code: 'terminal_not_found', message: 'group-one has none.' },
  });
});
