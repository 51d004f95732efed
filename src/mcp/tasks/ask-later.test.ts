import type { ElicitResult, McpServer } from '@modelcontextprotocol/server';
import { describe, expect, test } from 'vitest';
import { makeQuestion } from '../../approvals/question.ts';
import { askLater } from './ask-later.ts';
import type { TaskSource } from './task.ts';
import { TaskQuestions } from './task-questions.ts';

const caller = { owner: 'one', sessionId: 's', executionId: 'exe_a' };
const question =
  makeQuestion({ caller, server: 'files', tool: 'write', arguments: {}, mode: 'writes' }, 60_000) ?? expect.fail();
const once: ElicitResult = { action: 'accept', content: { answer: 'once' } };

/** A client of 2025-11-25 with so many streams, and what it is asked. */
function open(streams: number | undefined) {
  const questions = new TaskQuestions();
  const asked: unknown[] = [];
  const answer = Promise.withResolvers<ElicitResult>();
  answer.promise.catch(() => {});
  const server = {
    elicitInput: (params: unknown) => {
      asked.push(params);
      return answer.promise;
    },
  } as unknown as McpServer['server'];
  const underway = new Set<string>();
  const connection = { owner: 'one', running: 0, ...(streams === undefined ? {} : { streams }) };
  const source = { elicit: questions.elicit } as Partial<TaskSource> as TaskSource;
  const asking = askLater(source, { server, connection, underway });
  const ending = new AbortController();
  const ask = () => asking.elicit?.(question, ending.signal);
  return { questions, asked, answer, underway, asking, ending, ask };
}

describe('a question of a task to a client of 2025-11-25', () => {
  test.each([undefined, 1])('goes out at once, if there is a stream for it (%s)', async (streams) => {
    const { asked, answer, underway, asking, ask, questions } = open(streams);
    const decision = ask();
    await asking.sooner;
    expect(asked).toEqual([]);
    asking.decide(true);
    await expect.poll(() => asked).toHaveLength(1);
    expect(asked).toMatchObject([{ _meta: { 'io.modelcontextprotocol/related-task': { taskId: 'exe_a' } } }]);
    expect(underway).toEqual(new Set([question.id]));
    expect(Object.keys(questions.of('exe_a') ?? {})).toEqual([question.id]);
    answer.resolve(once);
    expect(await decision).toBe('once');
    expect(underway.size).toBe(0);
  });

  test('waits for the client to ask, if there is none, or the stream breaks', async () => {
    for (const streams of [0, 1]) {
      const { answer, asking, ask, questions } = open(streams);
      const decision = ask();
      asking.decide(true);
      answer.reject(new Error('The stream is gone.'));
      await expect.poll(() => questions.of('exe_a')).toBeDefined();
      questions.answer('exe_a', { other: once, [question.id]: once });
      expect(await decision).toBe('once');
    }
  });

  test('is over with the question, and is not told afterwards', async () => {
    const { asking, ask, ending, questions } = open(0);
    const decision = ask();
    asking.decide(true);
    const { changed } = questions;
    await changed;
    ending.abort();
    expect(await decision).toBeUndefined();
    expect(questions.of('exe_a')).toBeUndefined();
  });

  test('cannot be asked of a call that did not become a task', async () => {
    const { asked, asking, ask } = open(1);
    const decision = ask();
    asking.decide(false);
    expect(await decision).toBeUndefined();
    expect(asked).toEqual([]);
  });
});
