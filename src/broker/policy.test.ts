import { afterEach, describe, expect, it, vi } from 'vitest';
import { failureOf, openBroker } from '../../test/support/broker.ts';
import { type OfferedTool, startToolServer, textResult } from '../../test/support/tool-server.ts';
import { setSecret } from '../secrets/changes.ts';
import type { Approve } from './broker.ts';

const closing: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of closing.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

function later<T extends AsyncDisposable>(one: T): T {
  closing.push(one);
  return one;
}

const signal = new AbortController().signal;
const named = (name: string, more: Partial<OfferedTool> = {}): OfferedTool => ({
  name,
  run: () => textResult(`${name} is done`),
  ...more,
});

/** A server that answers who calls, by the key in the header, and by its own session. */
async function startWhoami() {
  const headers = new WeakMap<object, string>();
  const seen: string[] = [];
  const server = later(
    await startToolServer({
      speaks: 'legacy',
      tools: () => [
        {
          name: 'whoami',
          run: (_, { http, sessionId }) => textResult(`${http?.req?.headers.get('authorization')} in ${sessionId}`),
        },
      ],
      intercept: (request) => {
        headers.set(request, request.headers.authorization ?? '');
        seen.push(request.headers.authorization ?? '');
        return false;
      },
    }),
  );
  return { server, seen };
}

// biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
const headers = { authorization: 'Bearer ${secret:TOKEN}' };

describe('owners', () => {
  const owners = { a: { owners: ['alice'] }, b: { owners: ['*'] }, c: {} };

  it('may use what the file gives them, and who has no key may use all', async () => {
    const { url } = later(await startToolServer({ tools: () => [named('x')] }));
    const entries = Object.entries(owners).map(([name, more]) => [name, { url, approve: 'never', ...more }]);
    const { broker, call, value } = later(openBroker(Object.fromEntries(entries)));
    const namesOf = (owner: string) => broker.servers(owner).map(({ name }) => name);
    expect([namesOf('alice'), namesOf('bob'), namesOf('local')]).toEqual([['a', 'b'], ['b'], ['a', 'b', 'c']]);
    expect(await value('a.x', {}, { owner: 'alice' })).toBe('x is done');
    for (const name of ['a.x', 'c.x', 'nothing.x'])
      expect(await failureOf(call(name, {}, { owner: 'bob' }))).toMatchObject({ code: 'denied' });
    const [, other] = await broker.catalog('bob', ['b', 'a'], signal);
    expect(other).toMatchObject({
      tools: [],
      error: { code: 'denied', message: 'There is no server "a" that you may use.' },
    });
  });

  // The file of secrets is looked at once a second.
  it('with credentials of their own share neither these nor a connection', { timeout: 30_000 }, async () => {
    const { server, seen } = await startWhoami();
    const entry = { url: server.url, headers, credentials: 'owner', owners: ['*'], approve: 'never' };
    const { value, call, stateDir } = later(
      openBroker(
        { demo: entry },
        {
          secrets: [
            ['TOKEN', 'of-alice-1', 'alice'],
            ['TOKEN', 'of-bob-22', 'bob'],
            ['TOKEN', 'of-all-333'],
          ],
        },
      ),
    );
    const ask = async (owner: string) => String(await value('demo.whoami', {}, { owner }));
    const answers = await Promise.all(['alice', 'bob', 'alice', 'bob'].map(ask));
    const sessions = answers.map((answer) => answer.replace(/.* in /, ''));
    expect(sessions[0]).toBe(sessions[2]);
    expect(sessions[1]).toBe(sessions[3]);
    expect(new Set(sessions).size).toBe(2);
    expect(new Set(seen)).toEqual(new Set(['Bearer of-alice-1', 'Bearer of-bob-22']));
    expect(await failureOf(call('demo.whoami', {}, { owner: 'carol' }))).toEqual({
      code: 'denied',
      message: 'demo needs the secret TOKEN of carol, which is not set.',
      hint: 'The operator sets it with: glovebox secret set TOKEN --owner carol',
    });

    // Another secret needs another connection.
    setSecret({ stateDir }, { name: 'TOKEN', owner: 'alice' }, 'of-alice-2');
    const sentByAlice = async () => {
      await ask('alice');
      return seen.at(-1);
    };
    await expect.poll(sentByAlice, { timeout: 20_000 }).toBe('Bearer of-alice-2');
    expect(await ask('alice')).not.toContain(sessions[0]);
    expect(await ask('bob')).toContain(sessions[1]);
  });

  it('share one connection where they share the credentials', async () => {
    const { server } = await startWhoami();
    const entry = { url: server.url, headers, owners: ['*'], approve: 'never' };
    const { value } = later(openBroker({ demo: entry }, { secrets: [['TOKEN', 'of-all-333']] }));
    const ask = (owner: string) => value('demo.whoami', {}, { owner });
    expect(await ask('alice')).toBe(await ask('bob'));
  });
});

describe('tools', () => {
  it('are allowed and denied by globs, of which deny wins', async () => {
    const names = ['list_issues', 'get/repo', 'delete_repo', 'list_secrets', '.hidden'];
    const { url } = later(await startToolServer({ tools: () => names.map((name) => named(name)) }));
    const { broker, call } = later(
      openBroker({ demo: { url, allow: ['list_*', 'get*', '.h?dden'], deny: ['*secret*'], approve: 'never' } }),
    );
    const [catalog] = await broker.catalog('local', ['demo'], signal);
    expect(catalog?.tools.map(({ name, python }) => [name, python])).toEqual([
      ['list_issues', 'list_issues'],
      ['get/repo', 'get_repo'],
      ['.hidden', '_hidden'],
    ]);
    for (const name of ['delete_repo', 'list_secrets'])
      expect(await failureOf(call(`demo.${name}`))).toMatchObject({
        code: 'denied',
        message: `The tool "${name}" of demo is not allowed.`,
      });
  });

  const reads = { annotations: { readOnlyHint: true } };

  it.each<[string, object, string | undefined, string | undefined]>([
    ['by default', {}, 'writes', 'writes'],
    ['of a trusted server', { trusted: true }, undefined, 'writes'],
    ['never', { approve: 'never' }, undefined, undefined],
    ['always', { approve: 'always', trusted: true }, 'always', 'always'],
    ['by name before globs', { approve: { '*': 'always', get: 'never' } }, undefined, 'always'],
    ['by the first glob', { approve: { 'g*': 'never', '*': 'always' } }, undefined, 'always'],
    ['where no glob matches', { approve: { 'x*': 'never' } }, 'writes', 'writes'],
  ])('ask a person: %s', async (_, entry, ofGet, ofPut) => {
    const { url } = later(await startToolServer({ tools: () => [named('get', reads), named('put')] }));
    const { value } = later(openBroker({ demo: { url, ...entry } }));
    const modes: (string | undefined)[] = [];
    for (const name of ['get', 'put']) {
      const asked: string[] = [];
      const approve: Approve = async ({ mode }) => {
        asked.push(mode);
        return 'session';
      };
      await value(`demo.${name}`, {}, { approve });
      modes.push(asked[0]);
    }
    expect(modes).toEqual([ofGet, ofPut]);
  });

  it.each([
    ['refused', 'approval_refused', 'A person has refused the call of demo.put.'],
    ['timed_out', 'approval_refused', 'Nobody has allowed the call of demo.put in time.'],
    ['unavailable', 'approval_unavailable', 'A person must allow the call of demo.put, and there is nobody to ask.'],
  ] as const)('are not called when the answer is %s', async (answer, code, message) => {
    const run = vi.fn(() => textResult(''));
    const put = named('put', { run });
    const { url } = later(await startToolServer({ tools: () => [put] }));
    const { call } = later(openBroker({ demo: { url } }));
    expect(await failureOf(call('demo.put', {}, { approve: async () => answer }))).toMatchObject({ code, message });
    expect(run).not.toHaveBeenCalled();
  });

  it('are called no more often than the rate allows, each owner for itself', async () => {
    const { url } = later(await startToolServer({ tools: () => [named('x')] }));
    const { call, value } = later(openBroker({ demo: { url, rate: 2, owners: ['*'], approve: 'never' } }));
    for (const owner of ['alice', 'alice', 'bob']) expect(await value('demo.x', {}, { owner })).toBe('x is done');
    expect(await failureOf(call('demo.x', {}, { owner: 'alice' }))).toEqual({
      code: 'limit',
      message: 'demo may be called 2 times a minute.',
      hint: expect.stringMatching(/^Wait (30|29) seconds\. The operator sets "rate"\.$/),
    });
    expect(await value('demo.x', {}, { owner: 'bob' })).toBe('x is done');
  });
});

describe('connections', () => {
  it('are made anew when the server has forgotten its session', async () => {
    const server = later(await startToolServer({ tools: () => [named('x')], speaks: 'legacy' }));
    const { value } = later(openBroker({ demo: { url: server.url, approve: 'never' } }));
    expect(await value('demo.x')).toBe('x is done');
    server.forget();
    expect(await value('demo.x')).toBe('x is done');
  });

  it('are one for many calls at once', async () => {
    const server = later(await startToolServer({ tools: () => [named('x')] }));
    const { value } = later(openBroker({ demo: { url: server.url, approve: 'never' } }));
    await Promise.all(Array.from({ length: 50 }, () => value('demo.x')));
    const discovers = server.requests.filter(({ headers: { 'mcp-method': method } }) => method === 'server/discover');
    expect(discovers).toHaveLength(1);
  });
});

describe('resources', () => {
  it('can be read if a result of the session has linked to them', async () => {
    const link = named('link', {
      run: () => ({ content: [{ type: 'resource_link', uri: 'demo://a/b.txt', name: 'b', mimeType: 'text/plain' }] }),
    });
    const resources = { 'demo://a/b.txt': 'linked', 'demo://a/c.txt': 'not linked' };
    const { url } = later(await startToolServer({ tools: () => [link], resources }));
    const { broker, value } = later(openBroker({ demo: { url, approve: 'never', owners: ['*'] } }));
    const read = (uri: string, sessionId = 's', owner = 'local') =>
      broker.read({ caller: { owner, sessionId, executionId: 'e' }, server: 'demo', uri, signal });
    expect(await failureOf(read('demo://a/b.txt'))).toMatchObject({ code: 'denied' });
    expect(await value('demo.link')).toEqual({ type: 'link', uri: 'demo://a/b.txt', name: 'b', mime: 'text/plain' });
    expect((await read('demo://a/b.txt')).parts).toEqual([
      { type: 'file', name: 'b.txt', mime: 'text/plain', data: btoa('linked') },
    ]);
    for (const reading of [read('demo://a/c.txt'), read('demo://a/b.txt', 'other'), read('demo://a/b.txt', 's', 'bob')])
      expect(await failureOf(reading)).toMatchObject({ code: 'denied' });
  });
});
