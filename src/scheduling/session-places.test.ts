import { describe, expect, test } from 'vitest';
import type { ExecutionRequest } from '../execution/request.ts';
import { ExecutionScheduler } from './execution-scheduler.ts';
import { Limiter } from './limiter.ts';
import { SessionPlaces } from './session-places.ts';

const OPTIONS = { timeoutMs: 1000, signal: new AbortController().signal };
const TRANSFER = { idleSince: undefined, end: () => {} };
const CODE: ExecutionRequest = { code: '1' };

/** Places of a session that runs one execution at once, on a server that runs as many as said. */
function open({ places = 10 }: { places?: number } = {}) {
  const context = new Limiter(1, 10, 'context c');
  const session = new SessionPlaces({
    owner: 'alice',
    concurrency: 1,
    scheduler: new ExecutionScheduler({ places, placesPerOwner: places, waitingPerOwner: 10 }),
    enterContext: (_name, options) => context.enter(options),
  });
  /** What an execution waits for, until it is told to wait no more; undefined for one that runs. */
  const waitsFor = async (request: ExecutionRequest, more: object = {}) => {
    const [cancel, waits] = [new AbortController(), Promise.withResolvers<string>()];
    const options = { ...OPTIONS, ...more, signal: cancel.signal, onWait: waits.resolve };
    const entered = session.enter(request, options).then((place) => void place[Symbol.dispose]());
    const message = await Promise.race([waits.promise, entered]);
    cancel.abort();
    await entered.catch(() => {});
    return message;
  };
  return { session, waitsFor };
}

describe('an execution in a session', () => {
  test('waits for its context first, holding no place of the session', async () => {
    const { session, waitsFor } = open();
    using stack = new DisposableStack();
    stack.use(await session.enter({ ...CODE, context: 'c' }, OPTIONS));
    expect(await waitsFor({ ...CODE, context: 'c' })).toMatch(/the context c/);
    expect(session.running).toBe(1);
  });

  test('then waits for a place of the session, then for one that all sessions share', async () => {
    const { session, waitsFor } = open();
    using _running = await session.enter(CODE, OPTIONS);
    expect(await waitsFor(CODE)).toMatch(/a place in this session/);
    const full = open({ places: 0 });
    expect(await full.waitsFor(CODE)).toMatch(/a place to run/);
    expect(full.session.running).toBe(0);
  });

  test.each<[string, ExecutionRequest, object]>([
    ['a file operation', { kind: 'files' }, {}],
    ['a list of packages', { kind: 'packages' }, {}],
    ['a transfer of a file', { kind: 'files' }, { transfer: TRANSFER }],
  ])('does not keep %s waiting', async (_what, request, more) => {
    const { session, waitsFor } = open({ places: 1 });
    using _running = await session.enter(CODE, OPTIONS);
    expect(await waitsFor(request, more)).toBeUndefined();
  });

  test('gives everything back that it has when what it waits for next does not come', async () => {
    const { session, waitsFor } = open({ places: 0 });
    await waitsFor({ ...CODE, context: 'c' });
    expect(session.running).toBe(0);
    expect(await waitsFor({ ...CODE, context: 'c' })).toMatch(/a place to run/);
  });
});
