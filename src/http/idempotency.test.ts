import { describe, expect, test } from 'vitest';
import { echoTool, startProtocolServer } from '../../test/mcp/protocol-server.ts';
import { FakeGroup } from '../../test/support/fake-group.ts';
import { type ErrorCode, GloveboxError } from '../errors.ts';
import { IdempotencyKeys } from './idempotency.ts';

const call = { name: 'echo', arguments: { text: 'hi' } };

/** A server whose one tool counts its runs, each of which waits to be let go. */
async function countingServer() {
  let runs = 0;
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const tool = echoTool(async ({ text }, { signal }) => {
    runs += 1;
    begun.resolve();
    await released.promise;
    if (text === 'fail' && runs === 1) throw new TypeError('once');
    return { session_id: 's', text: `${text} ${runs}${signal.aborted ? ' cancelled' : ''}` };
  });
  const server = await startProtocolServer({
    tools: [tool],
    app: { authenticate: async (request) => ({ owner: request.headers.get('x-user') ?? 'me' }) },
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const post = (key: string, body: object = call, extra: Record<string, string> = {}, signal?: AbortSignal) =>
    fetch(`${server.url}${extra['path'] ?? '/execute'}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key, 'x-user': extra['user'] ?? 'me' },
      body: JSON.stringify(body),
      ...(signal ? { signal } : {}),
    });
  return { server, post, runs: () => runs, begun: begun.promise, release: released.resolve };
}

describe('a call with an Idempotency-Key', () => {
  test('is done once, also when it comes again while it runs and after its client has gone', async () => {
    await using stack = new AsyncDisposableStack();
    const { server, post, runs, begun, release } = await countingServer();
    stack.use(server);
    const gone = new AbortController();
    const lost = post('k', call, {}, gone.signal);
    await begun;
    gone.abort();
    await expect(lost).rejects.toThrow();
    const again = post('k');
    release();
    expect(await (await again).json()).toMatchObject({ result: { text: 'hi 1' } });
    const third = await post('k');
    expect(third.headers.get('idempotency-replayed')).toBe('true');
    expect(await third.json()).toMatchObject({ result: { text: 'hi 1' } });
    expect(runs()).toBe(1);
  });

  test("is another's call for another owner, and refused with other arguments", async () => {
    await using stack = new AsyncDisposableStack();
    const { server, post, release } = await countingServer();
    stack.use(server);
    release();
    for (const path of ['/execute', '/execute/stream']) {
      await (await post('k', call, { path })).text();
      const other = await post('k', { ...call, arguments: { text: 'other' } }, { path });
      expect(other.status).toBe(400);
      expect(await other.json()).toMatchObject({
        error: { message: expect.stringContaining('"k" was used for another call') },
      });
    }
    expect(await (await post('k', call, { user: 'bob' })).json()).toMatchObject({ result: { text: 'hi 3' } });
    for (const bad of ['', 'x'.repeat(256)]) expect((await post(bad)).status).toBe(400);
  });

  test('that failed with the server is done anew', async () => {
    await using stack = new AsyncDisposableStack();
    const { server, post, release } = await countingServer();
    stack.use(server);
    release();
    const failing = { ...call, arguments: { text: 'fail' } };
    expect((await post('k', failing)).status).toBe(500);
    expect(await (await post('k', failing)).json()).toMatchObject({ result: { text: 'fail 2' } });
  });

  test('on the stream is told from its beginning when it comes again', async () => {
    await using stack = new AsyncDisposableStack();
    const { server, post, runs, release } = await countingServer();
    stack.use(server);
    release();
    const first = await (await post('k', call, { path: '/execute/stream' })).text();
    expect(await (await post('k', call, { path: '/execute/stream' })).text()).toBe(first);
    expect(runs()).toBe(1);
  });
});

test('the answers that were given first are forgotten once all together are too large', async () => {
  const keys = new IdempotencyKeys();
  let runs = 0;
  const once = async (key: string) => {
    const work = async () => {
      runs += 1;
      return { status: 200, headers: [], body: new ArrayBuffer(12 * 2 ** 20) };
    };
    await keys.once('me', key, 'call', work);
    return runs;
  };
  expect(await once('a')).toBe(1);
  expect(await once('b')).toBe(2);
  expect(await once('a')).toBe(2);
  expect(await once('c')).toBe(3);
  expect(await once('b')).toBe(3);
  expect(await once('a')).toBe(4);
});

describe('a call whose key began at another server', () => {
  const call = { owner: 'me', key: 'k', fingerprint: 'call' };
  const answer = { status: 200, headers: [] as [string, string][], body: new ArrayBuffer(1) };
  const runs = (keys: IdempotencyKeys, work: () => Promise<typeof answer>, fingerprint = call.fingerprint) =>
    keys.once(call.owner, call.key, fingerprint, work);

  test('is not run again after that server died, and says so; another call with the key is refused as ever', async () => {
    const group = new FakeGroup();
    const [dead, alive] = [new IdempotencyKeys(group.join()), new IdempotencyKeys(group.join())];
    const begun = Promise.withResolvers<typeof answer>();
    void runs(dead, () => begun.promise);
    await expect.poll(() => group.calls.size).toBe(1);
    let ran = false;
    const work = async () => {
      ran = true;
      return answer;
    };
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      const refused = { code: 'session_moved', hint: expect.stringContaining('use a new key') };
      await expect(runs(alive, work)).rejects.toMatchObject(refused);
    }
    await expect(runs(alive, work, 'other')).rejects.toMatchObject({ code: 'invalid_input' });
    expect(ran).toBe(false);
    begun.resolve(answer);
  });

  test('is run again if it failed there, but not if its end is not known', async () => {
    const group = new FakeGroup();
    const [one, other] = [new IdempotencyKeys(group.join()), new IdempotencyKeys(group.join())];
    const fails = (code: ErrorCode) => async () => await Promise.reject(new GloveboxError(code, 'no'));
    await expect(runs(one, fails('capacity_exceeded'))).rejects.toMatchObject({ code: 'capacity_exceeded' });
    await expect(runs(one, async () => ({ ...answer, status: 503 }))).resolves.toMatchObject({ status: 503 });
    await expect(runs(other, fails('session_moved'))).rejects.toMatchObject({ message: 'no' });
    await expect(runs(one, async () => answer)).rejects.toMatchObject({ code: 'session_moved' });
  });
});
