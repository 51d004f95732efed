import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { ExecutionResult } from '../execution/result.ts';
import type { ClientToolAnswer } from '../execution/tool-access.ts';
import { type AskCaller, type HeldExecution, HeldExecutions, type HeldState } from './held-executions.ts';

const NEVER = new AbortController().signal;
const RESULT: ExecutionResult = {
  ...{
    sessionId: 's',
    executionId: 'exe_1',
    status: 'ok',
    exitCode: 0,
    stdout: '',
    stderr: '',
    files: [],
    durationMs: 1,
  },
};

let made = 0;
let executions: HeldExecutions;

beforeEach(() => {
  vi.useFakeTimers();
  executions = new HeldExecutions();
});
afterEach(() => void vi.useRealTimers());

/** Starts code that asks so, and ends with what it was answered. */
function start(code: (ask: (name: string) => Promise<ClientToolAnswer>) => Promise<unknown>, owner = 'alice') {
  made += 1;
  return executions.start(
    { id: `exe_${made}`, owner, sessionId: 's', kind: 'code' as const },
    async (signal, ask: AskCaller) => {
      const stopped = new Promise<'cancelled'>((resolve) => {
        signal.addEventListener('abort', () => resolve('cancelled'));
      });
      const answers = await Promise.race([code((name) => ask(name, { name }, signal)), stopped]);
      return answers === 'cancelled' ? { ...RESULT, status: answers } : { ...RESULT, stdout: JSON.stringify(answers) };
    },
  );
}

/** The next state, once the calls that come together have come. */
async function next(held: HeldExecution): Promise<HeldState> {
  const state = held.next(NEVER);
  await vi.advanceTimersByTimeAsync(20);
  return await state;
}

async function questions(held: HeldExecution) {
  const state = await next(held);
  return state.state === 'waiting' ? state.questions : [];
}

const askedFor = (...names: string[]) => names.map((name) => expect.objectContaining({ kind: 'tool_call', name }));

test('tells of calls that come within 20 ms together, and goes on with their answers', async () => {
  const held = start(async (ask) => {
    const first = ask('a');
    await new Promise((resolve) => setTimeout(resolve, 19));
    return await Promise.all([first, ask('b')]);
  });
  const state = held.next(NEVER);
  await vi.advanceTimersByTimeAsync(39);
  const { questions: asked } = (await state) as Extract<HeldState, { state: 'waiting' }>;
  expect(asked).toEqual(askedFor('a', 'b'));
  expect(asked.map(({ arguments: args }) => args)).toEqual([{ name: 'a' }, { name: 'b' }]);
  for (const { id, name } of asked) expect(held.answer(id, { value: name })).toBe('taken');
  expect(await next(held)).toMatchObject({ state: 'ended', result: { stdout: '[{"value":"a"},{"value":"b"}]' } });
});

test('asks for at most 50 calls at once, and for the rest when those have answers', async () => {
  const held = start((ask) => Promise.all(Array.from({ length: 60 }, (_, index) => ask(`t${index}`))));
  const first = await questions(held);
  expect(first).toHaveLength(50);
  for (const { id } of first) held.answer(id, { value: 0 });
  expect(await questions(held)).toEqual(askedFor(...Array.from({ length: 10 }, (_, index) => `t${index + 50}`)));
});

test('tells again what has no answer, and takes one answer of each call', async () => {
  const held = start((ask) => Promise.all([ask('a'), ask('b')]));
  const [a, b] = await questions(held);
  expect(held.answer(a?.id ?? '', { value: 1 })).toBe('taken');
  expect(held.answer(a?.id ?? '', { value: 2 })).toBe('answered');
  expect(held.answer('call_unknown', { value: 2 })).toBe('unknown');
  expect(await questions(held)).toEqual([b]);
  held.answer(b?.id ?? '', { error: 'no' });
  expect(await next(held)).toMatchObject({ result: { stdout: '[{"value":1},{"error":"no"}]' } });
  expect(held.answer(b?.id ?? '', { value: 3 })).toBe('answered');
});

test('waits for something new where its caller has been told of all else', async () => {
  const held = start((ask) => Promise.all([ask('a'), ask('b').then(() => ask('c'))]));
  const [, b] = await questions(held);
  let isTold = false;
  const state = held.next(NEVER, { isNew: true }).finally(() => {
    isTold = true;
  });
  await vi.advanceTimersByTimeAsync(1000);
  expect(isTold).toBe(false);
  held.answer(b?.id ?? '', { value: 1 });
  await vi.advanceTimersByTimeAsync(20);
  expect(await state).toMatchObject({ questions: askedFor('a', 'c') });
});

test('refuses further calls after a hundred rounds', async () => {
  const answers: ClientToolAnswer[] = [];
  const held = start(async (ask) => {
    for (let round = 0; round < 102; round += 1) answers.push(await ask('a'));
  });
  for (let round = 0; round < 100; round += 1) {
    for (const { id } of await questions(held)) held.answer(id, { value: round });
  }
  expect(await next(held)).toMatchObject({ state: 'ended' });
  expect(answers.at(99)).toEqual({ value: 99 });
  expect(answers.slice(100)).toEqual([{ refused: 'limit' }, { refused: 'limit' }]);
});

test('is ended after five minutes in which nobody asked for it while it waited', async () => {
  const held = start((ask) => ask('a'));
  await questions(held);
  await vi.advanceTimersByTimeAsync(299_000);
  const [asked] = await questions(held);
  await vi.advanceTimersByTimeAsync(299_000);
  expect(held.answer('call_unknown', { value: 1 })).toBe('unknown');
  await vi.advanceTimersByTimeAsync(1000);
  expect(await held.next(NEVER)).toMatchObject({ state: 'ended', result: { status: 'cancelled' } });
  expect(held.answer(asked?.id ?? '', { value: 1 })).toBe('over');
});

test('is not ended while it runs and waits for nothing', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const held = start(() => promise);
  await vi.advanceTimersByTimeAsync(3_600_000);
  resolve();
  expect(await held.next(NEVER)).toMatchObject({ state: 'ended', result: { status: 'ok' } });
});

test('keeps its result for five minutes, for its owner alone', async () => {
  const held = start(async () => 'done');
  await held.next(NEVER);
  expect(executions.get('alice', held.id)).toBe(held);
  expect(() => executions.get('bob', held.id)).toThrow(expect.objectContaining({ code: 'execution_not_found' }));
  await vi.advanceTimersByTimeAsync(300_000);
  expect(() => executions.get('alice', held.id)).toThrow(/waits for results/);
});

test('gives the result of an execution whose caller was told to the one who asks again', async () => {
  const held = start((ask) => ask('a'));
  const [asked] = await questions(held);
  const [one, other] = [held.next(NEVER, { isNew: true }), held.next(NEVER, { isNew: true })];
  held.answer(asked?.id ?? '', { value: 1 });
  expect(await one).toEqual(await other);
});

test('goes on when a caller stops to wait', async () => {
  const held = start((ask) => ask('a'));
  const controller = new AbortController();
  const state = held.next(controller.signal);
  controller.abort(new Error('gone'));
  await expect(state).rejects.toThrow('gone');
  await expect(held.next(controller.signal)).rejects.toThrow('gone');
  expect(await questions(held)).toEqual(askedFor('a'));
});

test('runs sixteen of an owner at once, and says what to do about one more', async () => {
  const all = Array.from({ length: 16 }, () => start((ask) => ask('a')));
  expect(() => start((ask) => ask('a'))).toThrow(expect.objectContaining({ code: 'capacity_exceeded' }));
  start((ask) => ask('a'), 'bob').cancel();
  all[0]?.cancel();
  await next(all[0] as HeldExecution);
  start((ask) => ask('a')).cancel();
  for (const held of all) held.cancel();
});

test('keeps sixteen results of an owner', async () => {
  const all = [];
  for (let count = 0; count < 17; count += 1) {
    const held = start(async () => count);
    await next(held);
    all.push(held);
  }
  expect(executions.find('alice', all[0]?.id ?? '')).toBeUndefined();
  expect(executions.find('alice', all[1]?.id ?? '')).toBe(all[1]);
});

test('tells each who asks why it could not run', async () => {
  const held = start(() => Promise.reject(new Error('no engine')));
  await expect(held.next(NEVER)).rejects.toThrow('no engine');
  await expect(held.next(NEVER)).rejects.toThrow('no engine');
});
