import { Client as ModernClient, StreamableHTTPClientTransport as ModernHttp } from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Holders } from '../../../test/support/group-member.ts';
import { call, GroupServer, moved, post } from '../../../test/support/group-server.ts';

let holders: Holders;
let one: GroupServer;
let two: GroupServer;
async function startBoth(fallback: 'new' | 'owner' = 'owner') {
  holders = new Holders();
  one = await GroupServer.start('group-one', holders, fallback);
  two = await GroupServer.start('group-two', holders, fallback);
  one.member.others = [two.member.self];
  two.member.others = [one.member.self];
  holders.set('local', 'theirs', two.member);
  holders.set('local', 'own', one.member);
}
beforeEach(async () => await startBoth());
afterEach(async () => {
  await one.stop();
  await two.stop();
});

describe('REST', () => {
  test('serves a call where its session is held', async () => {
    const texts = [];
    for (const session of ['theirs', 'own', 'unheard-of']) {
      const answer = await post(one, '/execute', call(session));
      const { result } = (await answer.json()) as { result: { text: string } };
      texts.push([answer.status, answer.headers.get('cache-control'), result.text]);
    }
    expect(texts).toEqual([
      [200, 'no-store', 'group-two hi'],
      [200, 'no-store', 'group-one hi'],
      [200, 'no-store', 'group-one hi'],
    ]);
  });

  test('passes on errors, and the headers that pages need', async () => {
    const answer = await post(one, '/execute', call('theirs', 'fail'), { origin: 'http://localhost:3000' });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      error: { code: 'session_not_found', hint: expect.stringContaining('GET /sessions') },
    });
    expect(answer.headers.get('access-control-allow-origin')).toBe('http://localhost:3000');
    const missing = await fetch(`${one.url}/sessions/theirs`);
    expect([missing.status, two.ran]).toEqual([404, ['theirs']]);
  });

  test('streams, and takes a stream up again at another server', async () => {
    const answer = await post(one, '/execute/stream', call('theirs'));
    const events = await answer.text();
    expect(events).toContain('event: stdout\ndata: {"text":"in theirs"}');
    const [, first = ''] = /^id: (.*)\.1$/m.exec(events) ?? [];
    const again = await post(one, '/execute/stream', call('theirs'), { 'last-event-id': `${first}.1` });
    expect(await again.text()).toContain('group-two hi');
    expect(two.ran).toEqual(['theirs']);
  });

  test('sends the beginning of a stream before its end', async () => {
    const goOn = Promise.withResolvers<void>();
    two.during = () => goOn.promise;
    const answer = await post(one, '/execute/stream', call('theirs'));
    const reader = answer.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    expect(String(Buffer.from(value ?? []))).toContain('in theirs');
    goOn.resolve();
    await reader?.cancel();
  });

  test('ends a call whose client goes away', async () => {
    const ended = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    two.during = async ({ signal }) => {
      signal.addEventListener('abort', () => ended.resolve());
      begun.resolve();
      await ended.promise;
    };
    const abort = new AbortController();
    const body = JSON.stringify(call('theirs'));
    const headers = { 'content-type': 'application/json' };
    const sent = fetch(`${one.url}/execute`, { method: 'POST', body, headers, signal: abort.signal });
    sent.catch(() => {});
    await begun.promise;
    abort.abort();
    await ended.promise;
  });

  test('runs two attempts of one call once, wherever they are sent', async () => {
    const headers = { 'idempotency-key': 'key' };
    const answers = await Promise.all(
      [one, two, one].map((server) => post(server, '/execute', call('theirs'), headers)),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect([...one.ran, ...two.ran]).toEqual(['theirs']);
    expect(answers.filter((answer) => answer.headers.has('idempotency-replayed'))).toHaveLength(2);
  });

  test('cancels a stream by its key, at any server', async () => {
    const cancelled = Promise.withResolvers<void>();
    two.during = async ({ signal }) => {
      signal.addEventListener('abort', () => cancelled.resolve());
      await cancelled.promise;
    };
    const headers = { 'idempotency-key': 'key' };
    const answer = await post(one, '/execute/stream', call('theirs'), headers);
    const response = await fetch(`${one.url}/execute/stream`, { method: 'DELETE', headers });
    expect(response.status).toBe(204);
    expect(await answer.text()).toContain('group-two hi');
    const unknown = await fetch(`${one.url}/execute/stream`, {
      method: 'DELETE',
      headers: { 'idempotency-key': 'none' },
    });
    expect(unknown.status).toBe(404);
  });

  test('lists the sessions of all, each once', async () => {
    for (const name of ['b', 'shared']) await post(one, '/sessions', { name });
    for (const name of ['a', 'shared']) await post(two, '/sessions', { name });
    const { sessions } = (await (await fetch(`${one.url}/sessions`)).json()) as { sessions: { session_id: string }[] };
    expect(sessions.map(({ session_id }) => session_id).sort()).toEqual(['a', 'b', 'shared']);
  });
});

describe('a session that moves', () => {
  test('is served by its new holder, if the call was not begun', async () => {
    two.closing.abort();
    const sent = post(one, '/execute', call('theirs'));
    holders.set('local', 'theirs', one.member);
    expect(await (await sent).json()).toMatchObject({ result: { text: 'group-one hi' } });
    expect(two.ran).toEqual([]);
  });

  test('is taken over once the lease of its holder has run out', async () => {
    await two.member[Symbol.asyncDispose]();
    const sent = post(one, '/execute', call('theirs'));
    one.member.others = [];
    expect(await (await sent).json()).toMatchObject({ result: { text: 'group-one hi' } });
  });

  test('that nobody serves in time is told as such', async () => {
    two.closing.abort();
    const answer = await post(one, '/execute', call('theirs'));
    expect([answer.status, await answer.json()]).toMatchObject([
      503,
      { error: { code: 'engine_unavailable', begun: false, hint: 'Nothing of the call was begun. Call again.' } },
    ]);
  }, 10_000);

  test('is served by its new holder, if the former had taken the call and had not begun it', async () => {
    two.during = async () => {
      holders.set('local', 'theirs', one.member);
      throw moved(false);
    };
    const answer = await post(one, '/execute', call('theirs'));
    expect(await answer.json()).toMatchObject({ result: { text: 'group-one hi' } });
    expect([one.ran, two.ran]).toEqual([['theirs'], ['theirs']]);
  });

  test('is sent once more, and not for ever, where its holder gives calls up', async () => {
    two.during = () => Promise.reject(moved(false));
    const answer = await post(one, '/execute', call('theirs'));
    expect([answer.status, answer.headers.get('glovebox-given-up'), await answer.json()]).toMatchObject([
      ...[409, null],
      { error: { code: 'session_moved', begun: false, hint: 'Nothing of the call was begun. Call again.' } },
    ]);
    expect(two.ran).toEqual(['theirs', 'theirs']);
  });

  test('is not served again, if its call had begun', async () => {
    two.during = async () => {
      holders.set('local', 'theirs', one.member);
      throw moved(true);
    };
    const answer = await post(one, '/execute', call('theirs'));
    expect(await answer.json()).toMatchObject({ error: { code: 'session_moved', begun: true } });
    expect([one.ran, two.ran]).toEqual([[], ['theirs']]);
  });

  test('runs nothing twice: of a call that had begun, the end is not known', async () => {
    two.during = async () => {
      await two.member[Symbol.asyncDispose]();
      one.member.others = [];
    };
    const answer = await post(one, '/execute', call('theirs'));
    expect([answer.status, await answer.json()]).toMatchObject([
      409,
      { error: { code: 'session_moved', begun: true } },
    ]);
    expect([one.ran, two.ran]).toEqual([[], ['theirs']]);
  });
});

describe('calls that name no session, and get new ones', () => {
  beforeEach(async () => {
    await one.stop();
    await two.stop();
    await startBoth('new');
  });

  test('run once for a key, wherever their attempts are sent', async () => {
    for (const key of ['a', 'b', 'c', 'd']) {
      const headers = { 'idempotency-key': key };
      await Promise.all([one, two, one, two].map((server) => post(server, '/execute', call(), headers)));
    }
    expect(one.ran.length + two.ran.length).toBe(4);
  });

  test('run once for a key also after another server has come', async () => {
    one.member.others = [];
    const headers = { 'idempotency-key': 'key' };
    await post(one, '/execute', call(), headers);
    one.member.others = [two.member.self];
    for (const server of [one, two]) await post(server, '/execute', call(), headers);
    expect([one.ran.length, two.ran.length]).toEqual([1, 0]);
  });
});

describe('MCP', () => {
  const textOf = (result: unknown) => (result as { structuredContent: { text: string } }).structuredContent.text;

  test('of the newest version serves each call where its session is held', async () => {
    const client = new ModernClient(
      { name: 't', version: '1' },
      { versionNegotiation: { mode: { pin: '2026-07-28' } } },
    );
    await client.connect(new ModernHttp(new URL('/mcp', one.url)));
    const theirs = await client.callTool(call('theirs'));
    const own = await client.callTool(call('own'));
    expect([textOf(theirs), textOf(own)]).toEqual(['group-two hi', 'group-one hi']);
    await client.close();
  });

  test('of older versions keeps its connection with one server, whichever its requests reach', async () => {
    const client = new Client({ name: 't', version: '1' });
    const targets = [one.url, two.url];
    let sent = 0;
    const transport = new StreamableHTTPClientTransport(new URL('/mcp', one.url), {
      fetch: (url, init) => {
        const { pathname } = new URL(url);
        sent += 1;
        return fetch(`${targets[sent % 2]}${pathname}`, init);
      },
    });
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    const texts = [];
    for (const session of ['theirs', 'own', 'theirs', 'own']) texts.push(textOf(await client.callTool(call(session))));
    expect(texts).toEqual(['group-two hi', 'group-one hi', 'group-two hi', 'group-one hi']);
    await client.close();
  });

  test('of older versions goes on with the session that its last call was about', async () => {
    const client = new Client({ name: 't', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL('/mcp', one.url));
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    await client.callTool(call('theirs'));
    await client.callTool(call());
    expect([one.ran, two.ran]).toEqual([[], ['theirs', 'theirs']]);
    const failed = await client.callTool(call('theirs', 'fail'));
    expect(JSON.stringify(failed.content)).toContain('Call execute_python');
    await client.close();
  });

  test.each([
    ['once', 'once'],
    [undefined, 'refused'],
  ])('of older versions asks the user of a client, who answers %s', async (answer, expected) => {
    const outcomes: string[] = [];
    two.during = async ({ elicit, signal }) => {
      const caller = { owner: 'local', sessionId: 'theirs', executionId: 'exe_1' };
      const request = { caller, server: 's', tool: 't', arguments: {}, mode: 'always' } as const;
      outcomes.push(await two.approvals.ask(request, { elicit }, { signal }));
    };
    const client = new Client({ name: 't', version: '1' }, { capabilities: { elicitation: {} } });
    client.setRequestHandler(ElicitRequestSchema, async ({ params }) => {
      expect(params.message).toContain('call the tool t of s');
      return answer ? { action: 'accept', content: { answer } } : { action: 'cancel' };
    });
    const transport = new StreamableHTTPClientTransport(new URL('/mcp', one.url));
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    await client.callTool(call('theirs'));
    expect(outcomes).toEqual([expected]);
    await client.close();
  });

  test('of older versions cancels a call where its session is held', async () => {
    const begun = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    two.during = async ({ signal }) => {
      signal.addEventListener('abort', () => cancelled.resolve());
      begun.resolve();
      await cancelled.promise;
    };
    const client = new Client({ name: 't', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL('/mcp', one.url));
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    const abort = new AbortController();
    const sent = client.callTool(call('theirs'), undefined, { signal: abort.signal });
    sent.catch(() => {});
    await begun.promise;
    abort.abort();
    await cancelled.promise;
    await client.close();
  });

  test('of older versions serves a call where its session has moved to, once, if it was not begun', async () => {
    const client = new Client({ name: 't', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL('/mcp', one.url));
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    const moveTo = (session: string, server: GroupServer) => async () => {
      holders.set('local', session, server.member);
      throw moved(false);
    };
    two.during = moveTo('theirs', one);
    const theirs = textOf(await client.callTool(call('theirs')));
    two.during = async () => {};
    one.during = moveTo('own', two);
    expect([theirs, textOf(await client.callTool(call('own')))]).toEqual(['group-one hi', 'group-two hi']);
    two.during = () => Promise.reject(moved(false));
    const failed = await client.callTool(call('own'));
    expect(failed._meta).toMatchObject({ 'glovebox/error': { code: 'session_moved', begun: false } });
    expect([one.ran, two.ran]).toEqual([
      ['theirs', 'own'],
      ['theirs', 'own', 'own', 'own'],
    ]);
    await client.close();
  });

  test('tells of a call whose end is not known', async () => {
    two.during = async () => {
      await two.member[Symbol.asyncDispose]();
      one.member.others = [];
    };
    const client = new Client({ name: 't', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL('/mcp', one.url));
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    const failed = await client.callTool(call('theirs'));
    expect(failed._meta).toMatchObject({ 'glovebox/error': { code: 'session_moved', begun: true } });
    expect([one.ran, two.ran]).toEqual([[], ['theirs']]);
    await client.close();
  });
});

test('what a client says of itself to other servers is not believed', async () => {
  const forged = Buffer.from('{"owner":"other"}').toString('base64url');
  const answer = await post(one, '/execute', call('theirs'), { 'glovebox-forwarded': forged });
  expect(answer.status).toBe(200);
  const { sessions } = (await (await fetch(`${two.url}/sessions`)).json()) as { sessions: unknown[] };
  expect(sessions).toEqual([]);
});
