import { type Duplex, duplexPair } from 'node:stream';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ExecutionClock } from '../execution/execution-clock.ts';
import type { ToolCallEvent, ToolRequest } from '../execution/tool-access.ts';
import { createLog } from '../log.ts';
import { serveDoor } from './door.ts';
import { type AskPerson, type GrantedBroker, Grants } from './grants.ts';
import { ToolMetrics } from './tool-metrics.ts';
import { type BrokerCall, ToolFailure } from './types.ts';

const SESSION = { owner: 'alice', id: 's' };
const LIMITS = { maxCalls: 20, maxConcurrent: 2 };

/** Calls that the broker was asked for, and how each goes on. */
interface Made {
  readonly call: BrokerCall;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: unknown) => void;
}

let made: Made[];
let onMade: () => void;
let lines: string[];
let registry: Registry;
let grants: Grants;
let asked: Parameters<AskPerson>[];
const ends: Duplex[] = [];

const broker: GrantedBroker = {
  servers: (owner) =>
    [
      ...[{ name: 'open', description: 'For all.', isDefault: true }],
      ...[{ name: 'more', description: 'For those who name it.', isDefault: false }],
      ...[{ name: 'secret', description: 'For bob.', isDefault: true }],
    ].filter(({ name }) => owner === 'bob' || name !== 'secret'),
  catalog: async (_owner, names) =>
    names.map((name) => ({
      ...{ name, description: '' },
      tools: [{ name: 'a-b', python: 'a_b', description: 'x', inputSchema: {}, outputSchema: { x: 1 }, writes: false }],
    })),
  call: async (call) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    made.push({ call, answer: resolve, fail: reject });
    call.signal.addEventListener('abort', () => reject(call.signal.reason));
    onMade();
    return { parts: [{ type: 'json', value: await promise }], bytes: 7 };
  },
  read: async ({ uri }) => ({ parts: [{ type: 'text', text: uri }], bytes: 3 }),
  limitsOf: () => LIMITS,
};

beforeEach(() => {
  made = [];
  onMade = () => {};
  lines = [];
  registry = new Registry();
  const log = createLog('info', (line) => lines.push(line));
  asked = [];
  const ask: AskPerson = async (...question) => {
    asked.push(question);
    return 'once';
  };
  grants = new Grants({ broker, ask, metrics: new ToolMetrics(registry), log });
});
afterEach(() => {
  for (const end of ends.splice(0)) end.destroy();
});

function open(request: Partial<ToolRequest> = {}) {
  const clock = new ExecutionClock();
  const grant = grants.open({ owner: 'alice', sessionId: 's', executionId: 'exe_1', clock, ...request });
  if (!grant) throw new Error('it has no tools');
  return grant;
}

/** Connection of code: what it sends, and the lines that it gets. */
function connect(session = SESSION) {
  const [ours, theirs] = duplexPair();
  ends.push(ours, theirs);
  serveDoor(ours, { session, grants, log: createLog('info', (line) => lines.push(line)) });
  const iterator = readLines(theirs)[Symbol.asyncIterator]();
  return {
    stream: theirs,
    send: (request: object | string) => {
      theirs.write(`${typeof request === 'string' ? request : JSON.stringify(request)}\n`);
    },
    read: async () => JSON.parse((await iterator.next()).value ?? 'null'),
  };
}

async function* readLines(stream: Duplex): AsyncGenerator<string> {
  let rest = '';
  for await (const chunk of stream) {
    rest += String(chunk);
    const whole = rest.split('\n');
    rest = whole.pop() ?? '';
    yield* whole;
  }
}

const nextCall = async (count = 1) => {
  while (made.length < count) {
    await new Promise<void>((resolve) => {
      onMade = resolve;
    });
  }
  return made[count - 1] as Made;
};

const callOf = (token: string, more: object = {}) => ({
  ...{ token, op: 'call', server: 'open', tool: 'a', arguments: { x: 1 } },
  ...more,
});

test('answers requests one after the other: what there is to call, a call, and a resource', async () => {
  const { token } = open();
  const code = connect();
  code.send({ token, op: 'catalog' });
  expect(await code.read()).toEqual({
    ok: true,
    servers: [
      {
        ...{ name: 'open', description: '' },
        tools: [{ name: 'a-b', python: 'a_b', description: 'x', input_schema: {}, output_schema: { x: 1 } }],
      },
    ],
  });
  code.stream.write(
    `${JSON.stringify(callOf(token))}\n${JSON.stringify({ token, op: 'read', server: 'open', uri: 'u:1' })}\n`,
  );
  const { call, answer } = await nextCall();
  expect(call).toMatchObject({
    server: 'open',
    tool: 'a',
    arguments: { x: 1 },
    caller: { owner: 'alice', sessionId: 's' },
  });
  answer({ value: 'ü' });
  expect(await code.read()).toEqual({ ok: true, parts: [{ type: 'json', value: { value: 'ü' } }] });
  expect(await code.read()).toEqual({ ok: true, parts: [{ type: 'text', text: 'u:1' }] });
});

test('records each call for the result, the events, the log and the metrics, without arguments and values', async () => {
  const events: ToolCallEvent[] = [];
  const grant = open({ onEvent: (event) => void events.push(event) });
  const code = connect();
  code.send(callOf(grant.token, { arguments: { password: 'hidden' } }));
  (await nextCall()).answer('found');
  await code.read();
  code.send(callOf(grant.token));
  (await nextCall(2)).fail(new ToolFailure('timeout', 'It took too long.', 'Ask for less.'));
  expect(await code.read()).toEqual({
    ...{ ok: false, error: { code: 'timeout', message: 'It took too long.', hint: 'Ask for less.' } },
  });
  expect(grant.calls).toEqual([
    { n: 1, tool: 'open.a', ms: expect.any(Number), status: 'ok', bytes: 7 },
    { n: 2, tool: 'open.a', ms: expect.any(Number), status: 'timeout', bytes: 0 },
  ]);
  expect(events.map(({ n, status }) => [n, status])).toEqual([
    ...[
      [1, 'begun'],
      [1, 'ok'],
    ],
    ...[
      [2, 'begun'],
      [2, 'timeout'],
    ],
  ]);
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(
    /tool call owner=alice session=s execution=exe_1 tool=open\.a arguments=[0-9a-f]{64} outcome=ok ms=\d+ bytes=7/,
  );
  const metrics = await registry.metrics();
  expect(metrics).toContain('glovebox_tool_calls_total{server="open",outcome="ok"} 1');
  expect(metrics).toContain('glovebox_tool_calls_total{server="open",outcome="timeout"} 1');
  expect(metrics).toContain('glovebox_tool_call_seconds_count{server="open"} 2');
  expect(`${lines.join()}${metrics}${JSON.stringify(events)}`).not.toMatch(/hidden|found/);
});

describe('a token', () => {
  test.each<[string, (grant: ReturnType<typeof open>) => { token: string; session?: typeof SESSION }]>([
    ['that nobody was given', () => ({ token: 'x' })],
    [
      'of an execution that has ended',
      (grant) => {
        grant[Symbol.dispose]();
        return { token: grant.token };
      },
    ],
    ['of another session', ({ token }) => ({ token, session: { owner: 'alice', id: 'other' } })],
    ['of another owner', ({ token }) => ({ token, session: { owner: 'bob', id: 's' } })],
  ])('%s opens nothing, and the connection ends', async (_what, make) => {
    const { token, session } = make(open());
    const code = connect(session);
    code.send(callOf(token));
    expect(await code.read()).toMatchObject({ ok: false, error: { code: 'denied' } });
    expect(await code.read()).toBeNull();
    expect(made).toEqual([]);
  });

  test('is not kept in what the next control plane gets', () => {
    const grant = open();
    expect(grant.token).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(JSON.stringify(grant.recorded)).not.toContain(grant.token);
  });

  test('of an earlier control plane opens what it opened, with the calls that were made', async () => {
    const first = open();
    const code = connect();
    for (let count = 1; count <= 3; count += 1) {
      code.send(callOf(first.token));
      (await nextCall(count)).answer(count);
      await code.read();
    }
    const { recorded } = first;
    first[Symbol.dispose]();
    const clock = new ExecutionClock();
    grants.reopen(recorded, { owner: 'alice', sessionId: 's', executionId: 'exe_1', clock });
    const later = connect();
    const left = LIMITS.maxCalls - 16;
    for (let count = 1; count <= left; count += 1) {
      later.send(callOf(first.token));
      (await nextCall(3 + count)).answer(count);
      expect(await later.read()).toMatchObject({ ok: true });
    }
    later.send(callOf(first.token));
    expect(await later.read()).toMatchObject({ error: { code: 'limit' } });
  });
});

describe('servers', () => {
  test('are those that the owner has by default, unless the call names others', () => {
    expect(Object.keys(open().recorded.servers)).toEqual(['open']);
    expect(Object.keys(open({ servers: ['more', 'more'] }).recorded.servers)).toEqual(['more']);
    const clock = new ExecutionClock();
    const none = { owner: 'alice', sessionId: 's', executionId: 'exe_1', clock, servers: [] };
    expect(grants.open(none)).toBeUndefined();
  });

  test('of another owner are refused as ones that do not exist', async () => {
    const refusalOf = (name: string) => {
      try {
        open({ servers: [name] });
      } catch (error) {
        return { ...(error as object), message: (error as Error).message.replace(name, '…') };
      }
      throw new Error('it was opened');
    };
    expect(refusalOf('secret')).toMatchObject({ code: 'invalid_input', hint: expect.stringContaining('open, more') });
    expect(refusalOf('secret')).toEqual(refusalOf('nowhere'));
    const { token } = open();
    const answers: unknown[] = [];
    for (const server of ['secret', 'nowhere', 'more']) {
      const code = connect();
      code.send(callOf(token, { server }));
      answers.push(JSON.parse(JSON.stringify(await code.read()).replaceAll(server, '…')));
    }
    expect(answers[0]).toMatchObject({ error: { code: 'denied' } });
    expect(answers).toEqual([answers[0], answers[0], answers[0]]);
    expect(made).toEqual([]);
  });
});

test('ten thousand calls end as limit, and are told of a few times only', async () => {
  const grant = open();
  const code = connect();
  const codes = new Map<string, number>();
  onMade = () => made.at(-1)?.answer(0);
  for (let count = 0; count < 10_000; count += 1) {
    code.send(callOf(grant.token));
    const { error } = await code.read();
    const status = error?.code ?? 'ok';
    codes.set(status, (codes.get(status) ?? 0) + 1);
  }
  expect(Object.fromEntries(codes)).toEqual({ ok: 20, limit: 9980 });
  expect(made).toHaveLength(20);
  expect(grant.calls.filter(({ status }) => status === 'limit')).toHaveLength(10);
  expect(lines).toHaveLength(30);
  expect(await registry.metrics()).toContain('glovebox_tool_calls_total{server="open",outcome="limit"} 9980');
});

test('as many calls run at once as the server allows; the others wait', async () => {
  const { token } = open();
  const all = [connect(), connect(), connect()];
  for (const code of all) code.send(callOf(token));
  const [first] = [await nextCall(2)].map(() => made[0]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(made).toHaveLength(2);
  first?.answer(1);
  await nextCall(3);
});

test('answers that code did not read took no place of a call, and filled the memory of the server', async () => {
  const { token } = open();
  const all = Array.from({ length: 4 }, () => connect());
  for (const code of all) code.send(callOf(token));
  await nextCall(2);
  const large = 'x'.repeat(1024 * 1024);
  for (const { answer } of made) answer(large);
  await new Promise((resolve) => setImmediate(resolve));
  expect(made).toHaveLength(2);
  await Promise.all(all.slice(0, 2).map(async (code) => expect(await code.read()).toMatchObject({ ok: true })));
  await nextCall(4);
});

describe('a running call is aborted', () => {
  test('when the code ends its connection', async () => {
    const { token } = open();
    const code = connect();
    code.send(callOf(token));
    const { call } = await nextCall();
    const aborted = new Promise((resolve) => call.signal.addEventListener('abort', resolve));
    code.stream.end();
    await aborted;
  });

  test('when its execution ends, and so is the connection', async () => {
    const grant = open();
    const code = connect();
    code.send(callOf(grant.token));
    const { call } = await nextCall();
    grant[Symbol.dispose]();
    expect(call.signal.aborted).toBe(true);
    expect(await code.read().catch(() => null)).toBeNull();
    expect(grant.calls).toMatchObject([{ status: 'cancelled' }]);
  });
});

test.each<[string, string]>([
  ['no JSON', 'GET / HTTP/1.1'],
  ['no object', '[1]'],
  ['an unknown operation', '{"token":"x","op":"steal"}'],
  ['a field of another type', '{"token":"x","op":"call","server":"open","tool":1,"arguments":{}}'],
  ['a line of more than a mebibyte', 'x'.repeat(1024 * 1024 + 1)],
])('%s is answered once, and the connection ends', async (_what, line) => {
  const code = connect();
  code.send(line);
  expect(await code.read()).toMatchObject({ ok: false, error: { code: 'bad_arguments' } });
  expect(await code.read()).toBeNull();
});

test('says nothing of an error of its own to the code', async () => {
  const { token } = open();
  const code = connect();
  code.send(callOf(token));
  (await nextCall()).fail(new Error('password=hidden'));
  const answer = await code.read();
  expect(answer).toMatchObject({ error: { code: 'upstream', message: 'Something went wrong inside Glovebox.' } });
});

test('a question to a person says whose call it is, and has the ways to a person of its execution', async () => {
  const clock = new ExecutionClock();
  const approvals = { elicit: async () => 'once' as const };
  const { token } = open({ clock, approvals });
  connect().send(callOf(token));
  const { call } = await nextCall();
  const question = { server: 'open', tool: 'a', arguments: {}, mode: 'always' } as const;
  expect(await call.approve(question, call.signal)).toBe('once');
  const caller = { owner: 'alice', sessionId: 's', executionId: 'exe_1' };
  expect(asked).toMatchObject([[{ ...question, caller }, approvals, { signal: call.signal, clock }]]);
});
