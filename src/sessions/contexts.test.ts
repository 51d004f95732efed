import { describe, expect, it } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import type { ExecutionEnd } from '../execution/request.ts';
import { Contexts } from './contexts.ts';

function ended(created: boolean, alive: boolean): ExecutionEnd {
  const report = { ...REPORT, context_created: created, context_alive: alive };
  return { status: 'ok', exitCode: 0, report };
}

async function run(contexts: Contexts, name: string, end: ExecutionEnd, anew = false): Promise<ExecutionEnd> {
  using _turn = await contexts.enter(name);
  return contexts.settle({ context: name, ...(anew ? { end_context: name } : {}) }, end);
}

const LOST = { reason: 'context_ended', lost: ['contexts'] };

describe('the contexts of a session', () => {
  it('are listed while they live', async () => {
    const contexts = new Contexts();
    await run(contexts, 'a', ended(true, true));
    await run(contexts, 'b', ended(true, false));
    expect(contexts.names).toEqual(['a']);
  });

  it('tell of a death in the call that died and in the next one', async () => {
    const contexts = new Contexts();
    expect((await run(contexts, 'a', ended(true, false))).reset).toEqual(LOST);
    expect((await run(contexts, 'a', ended(true, true))).reset).toEqual(LOST);
    expect((await run(contexts, 'a', ended(false, true))).reset).toBeUndefined();
  });

  it('tell of a death between two calls', async () => {
    const contexts = new Contexts();
    await run(contexts, 'a', ended(true, true));
    expect(await run(contexts, 'a', ended(true, true))).toMatchObject({
      context: { name: 'a', created: true, alive: true },
      reset: LOST,
    });
  });

  it('say nothing of a loss that was asked for', async () => {
    const contexts = new Contexts();
    await run(contexts, 'a', ended(true, true));
    expect((await run(contexts, 'a', ended(true, true), true)).reset).toBeUndefined();
  });

  it('are lost with the processes of the sandbox, and named only if there were any', async () => {
    const contexts = new Contexts();
    const cleared: ExecutionEnd = {
      status: 'crashed',
      exitCode: null,
      reset: { reason: 'runner_lost', lost: ['contexts', 'background'] },
    };
    contexts.loseAll();
    expect(contexts.settle({}, cleared).reset?.lost).toEqual(['background']);
    await run(contexts, 'a', ended(true, true));
    contexts.loseAll();
    expect(contexts.settle({}, cleared).reset?.lost).toEqual(['contexts', 'background']);
    expect((await run(contexts, 'a', ended(true, true))).reset).toEqual(LOST);
  });

  it('were lost again by the late end of a call, though they had begun anew', async () => {
    const contexts = new Contexts();
    const late: ExecutionEnd = {
      status: 'crashed',
      exitCode: null,
      reset: { reason: 'runner_lost', lost: ['contexts', 'background'] },
    };
    await run(contexts, 'a', ended(true, true));
    contexts.loseAll();
    await run(contexts, 'a', ended(true, true));
    expect(contexts.settle({}, late).reset?.lost).toEqual(['background']);
    expect(contexts.names).toEqual(['a']);
    expect((await run(contexts, 'a', ended(false, true))).reset).toBeUndefined();
  });

  it.each([
    ['was there before', true, false],
    ['began in it', false, true],
  ])('say of a call that ends with all processes whether its context %s', async (_which, isThere, created) => {
    const contexts = new Contexts();
    if (isThere) await run(contexts, 'a', ended(true, true));
    contexts.loseAll();
    const cleared = {
      status: 'timeout',
      exitCode: null,
      reset: { reason: 'would_not_end', lost: ['contexts'] },
    } as const;
    expect((await run(contexts, 'a', cleared)).context).toEqual({ name: 'a', created, alive: false });
  });

  it('end in a call that ends with all processes, its own first one too', async () => {
    const contexts = new Contexts();
    const cleared: ExecutionEnd = {
      status: 'timeout',
      exitCode: null,
      reset: { reason: 'would_not_end', lost: ['contexts', 'background'] },
    };
    const { context, reset } = await run(contexts, 'a', cleared);
    expect(context).toEqual({ name: 'a', created: true, alive: false });
    expect(reset?.lost).toEqual(['contexts', 'background']);
    expect((await run(contexts, 'a', ended(true, true))).reset).toEqual(LOST);
  });

  it('are there while their first call is under way', async () => {
    const contexts = new Contexts();
    const turn = await contexts.enter('a');
    expect([contexts.has('a'), contexts.has('b')]).toEqual([true, false]);
    turn[Symbol.dispose]();
    expect(contexts.has('a')).toBe(false);
  });

  it('run one call at a time, in order', async () => {
    const contexts = new Contexts();
    const order: string[] = [];
    const first = await contexts.enter('a');
    const second = contexts.enter('a').then((turn) => {
      order.push('second');
      turn[Symbol.dispose]();
    });
    using _other = await contexts.enter('b');
    order.push('first');
    first[Symbol.dispose]();
    await second;
    expect(order).toEqual(['first', 'second']);
  });

  it('are limited in number, the dead ones not counted', async () => {
    const contexts = new Contexts();
    for (let made = 0; made < 20; made += 1) await run(contexts, `dead-${made}`, ended(true, false));
    for (let made = 0; made < 16; made += 1) await run(contexts, `c${made}`, ended(true, true));
    await expect(contexts.enter('one-more')).rejects.toMatchObject({ code: 'capacity_exceeded' });
  });

  it('are called "this session" by a refusal if an earlier control plane began them', async () => {
    const contexts = new Contexts();
    contexts.recover(['old'], ['old']);
    for (const name of ['old', 'new']) {
      using _turn = await contexts.enter(name);
      const late = contexts.enter(name, { patienceMs: 0 });
      await expect(late).rejects.toThrow(`in context ${name}`);
    }
  });
});
