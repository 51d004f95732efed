import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLog } from '../log.ts';
import { type ApprovalChannels, Approvals, type Outcome } from './approvals.ts';
import type { ApprovalRequest, Decision } from './question.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const CALLER = { owner: 'alice', sessionId: 'gbx_1', executionId: 'exe_1' };
const CALL: ApprovalRequest = {
  ...{ caller: CALLER, server: 'github', tool: 'create_issue', arguments: { title: 'x' }, mode: 'writes' },
};
const PERSON = { name: 'bob' };
const never = () => new Promise<never>(() => {});

/** Questions that a person may answer, unless it is said who may. */
function openApprovals(mayAnswer: (owner: string) => boolean = () => true) {
  const lines: string[] = [];
  const approvals = new Approvals({ log: createLog('info', (line) => lines.push(line)) });
  approvals.answerWith({ mayAnswer });
  const ask = (
    request: Partial<ApprovalRequest> = {},
    channels: ApprovalChannels = {},
    signal = new AbortController().signal,
  ) => approvals.ask({ ...CALL, ...request }, channels, { signal });
  const answer = (decision: Decision, position = 0) =>
    approvals.decide(approvals.pending()[position]?.id ?? '', decision, PERSON);
  return { approvals, ask, answer, lines };
}

describe('a question', () => {
  test.each<[Decision, Outcome]>([
    ['once', 'once'],
    ['session', 'session'],
    ['refuse', 'refused'],
  ])('that is answered with %s', async (decision, outcome) => {
    const { approvals, ask, answer } = openApprovals();
    const asked = ask();
    expect(approvals.pending()).toMatchObject([{ ...CALLER, server: 'github', tool: 'create_issue' }]);
    answer(decision);
    expect(await asked).toBe(outcome);
    expect(approvals.pending()).toEqual([]);
  });

  test('is refused when ten minutes are over', async () => {
    const { approvals, ask } = openApprovals();
    const asked = ask();
    await vi.advanceTimersByTimeAsync(599_999);
    expect(approvals.pending()).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await asked).toBe('timed_out');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('has no answer, and no timer, when nobody could give one', async () => {
    const { approvals, ask } = openApprovals((owner) => owner === 'carol');
    expect(await ask()).toBe('unavailable');
    expect(approvals.pending()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('is over when the code that asked it has ended', async () => {
    const { approvals, ask } = openApprovals();
    const ended = new AbortController();
    const asked = ask({}, {}, ended.signal);
    const id = approvals.pending()[0]?.id ?? '';
    ended.abort();
    expect(await asked).toBe('refused');
    expect(() => approvals.decide(id, 'once', PERSON)).toThrow(
      expect.objectContaining({ code: 'approval_over', message: expect.stringContaining('has ended') }),
    );
  });

  test('is answered once: whoever is late is told by whom and how', async () => {
    const { approvals, ask, answer } = openApprovals();
    const asked = ask();
    const { id } = answer('once');
    expect(() => approvals.decide(id, 'refuse', { name: 'carol' })).toThrow(
      expect.objectContaining({ code: 'approval_over', message: expect.stringMatching(/approved, once by bob/) }),
    );
    expect(await asked).toBe('once');
  });

  test('of another owner is as unknown as one that never was', async () => {
    const { approvals, ask } = openApprovals();
    void ask();
    const id = approvals.pending()[0]?.id ?? '';
    const ofBob = { name: 'dave', owner: 'bob' };
    const refusalOf = (asked: string) => {
      try {
        approvals.decide(asked, 'once', ofBob);
        return undefined;
      } catch (error) {
        return error;
      }
    };
    expect(refusalOf(id)).toMatchObject({ code: 'approval_not_found' });
    expect(approvals.pending({ owner: 'bob' })).toEqual([]);
    approvals.decide(id, 'refuse', PERSON);
    expect(refusalOf(id)).toMatchObject({ code: 'approval_not_found' });
    expect(refusalOf('apr_x')).toMatchObject({ code: 'approval_not_found' });
  });

  test('whose arguments cannot be shown is refused, for nobody could know what they approve', async () => {
    const { ask } = openApprovals();
    let deep: unknown = 1;
    for (let depth = 0; depth < 200_000; depth += 1) deep = [deep];
    expect(await ask({ arguments: { deep } })).toBe('refused');
  });

  test('is not asked where a hundred of its owner wait already', async () => {
    const { ask } = openApprovals();
    for (let n = 0; n < 100; n += 1) void ask();
    expect(await ask()).toBe('unavailable');
    void ask({ caller: { ...CALLER, owner: 'bob' } });
  });

  test('stops the clock of its execution while it waits, and at no other time', async () => {
    const { approvals, ask, answer } = openApprovals();
    let pauses = 0;
    const clock = {
      pause: () => {
        pauses += 1;
        return {
          [Symbol.dispose]: () => {
            pauses -= 1;
          },
        };
      },
    };
    const { signal } = new AbortController();
    const asked = approvals.ask(CALL, {}, { signal, clock });
    expect(pauses).toBe(1);
    answer('session');
    await asked;
    expect(pauses).toBe(0);
    expect(await ask()).toBe('session');
  });

  test('leaves its arguments out of the log', async () => {
    const { ask, answer, lines } = openApprovals();
    const asked = ask({ arguments: { token: 'private' } });
    answer('once');
    await asked;
    expect(lines.join('')).toMatch(/approval asked .*github\.create_issue.*\n.*approval over .*outcome=once by=bob/);
    expect(lines.join('')).not.toContain('private');
  });
});

describe('an answer for the session', () => {
  test('holds for the same tool in that session only, until the session goes on elsewhere', async () => {
    const { approvals, ask, answer } = openApprovals();
    const asked = ask();
    answer('session');
    await asked;
    expect(await ask()).toBe('session');
    for (const other of [
      { tool: 'delete_issue' },
      { server: 'gitlab' },
      { caller: { ...CALLER, sessionId: 'gbx_2' } },
      { caller: { ...CALLER, owner: 'bob' } },
      { changed: true },
      { mode: 'always' as const },
    ]) {
      const again = ask(other);
      answer('refuse');
      expect(await again).toBe('refused');
    }
    approvals.forget({ owner: 'alice', id: 'gbx_1' });
    const again = ask();
    answer('refuse');
    expect(await again).toBe('refused');
  });

  test('answers the same questions that wait already', async () => {
    const { approvals, ask, answer } = openApprovals();
    const asked = [ask(), ask({ arguments: { title: 'y' } }), ask()];
    const others = [ask({ tool: 'other' }), ask({ mode: 'always' })];
    answer('session');
    expect(await Promise.all(asked)).toEqual(['session', 'session', 'session']);
    expect(approvals.pending()).toHaveLength(others.length);
  });

  test('is not taken where each call is to be asked for', async () => {
    const { ask, answer } = openApprovals();
    const asked = ask({ mode: 'always' });
    expect(() => answer('session')).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    answer('once');
    expect(await asked).toBe('once');
  });
});

describe('a client that can ask its user', () => {
  const nobody = () => false;

  test('answers where nobody else could', async () => {
    const { ask, lines } = openApprovals(nobody);
    expect(await ask({}, { elicit: async () => 'once' })).toBe('once');
    expect(lines.join('')).toContain('by="the user of the client"');
  });

  test('is told when somebody else has answered', async () => {
    const { ask, answer } = openApprovals();
    const told = Promise.withResolvers<void>();
    const asked = ask(
      {},
      {
        elicit: (_question, signal) => {
          signal.addEventListener('abort', () => told.resolve());
          return never();
        },
      },
    );
    answer('refuse');
    expect(await asked).toBe('refused');
    await told.promise;
  });

  test('is not told of by other ways, unless it cannot ask after all', async () => {
    const { approvals, ask } = openApprovals();
    const notified: string[] = [];
    approvals.answerWith({ mayAnswer: () => true, notify: ({ tool }) => notified.push(tool) });
    void ask({ tool: 'a' }, { elicit: never });
    void ask({ tool: 'b' });
    void ask({ tool: 'c' }, { elicit: async () => undefined });
    await vi.advanceTimersByTimeAsync(0);
    expect(notified).toEqual(['b', 'c']);
  });

  test.each<[string, ApprovalChannels['elicit']]>([
    ['does not', async () => undefined],
    ['fails', async () => Promise.reject(new Error('closed'))],
  ])('and %s leaves the question to others, if there are any', async (_what, elicit) => {
    expect(await openApprovals(nobody).ask({}, { elicit })).toBe('unavailable');
    const { ask, answer } = openApprovals();
    const asked = ask({}, { elicit });
    await vi.advanceTimersByTimeAsync(0);
    answer('once');
    expect(await asked).toBe('once');
  });
});

test('who watches is told of each question, and of its end', async () => {
  const { approvals, ask, answer } = openApprovals();
  const told: unknown[] = [];
  const watching = approvals.watch(({ tool }, outcome) => told.push([tool, outcome]));
  const asked = ask();
  answer('once');
  await asked;
  watching[Symbol.dispose]();
  void ask();
  expect(told).toEqual([
    ['create_issue', undefined],
    ['create_issue', 'once'],
  ]);
});
