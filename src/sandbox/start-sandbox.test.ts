import { expect, test } from 'vitest';
import { GloveboxError } from '../errors.ts';
import { createLog } from '../log.ts';
import { type Engine, SESSION_UIDS } from './engine.ts';
import { type Backend, startSandbox } from './start-sandbox.ts';

const { first, lastNamed } = SESSION_UIDS;

/** An engine whose sandboxes have these users, and which hangs up on its new ones at once. */
function engineWith(taken: ReadonlySet<number>) {
  const listed: (number | undefined)[] = [];
  const started: number[] = [];
  const toInfo = (uid: number) => ({ id: String(uid), key: String(uid), instance: '', uid, running: true });
  const engine: Partial<Engine> = {
    list: async (uid) => {
      listed.push(uid);
      return [...taken].filter((other) => uid === undefined || other === uid).map(toInfo);
    },
    start: async ({ uid }) => {
      started.push(uid);
      return 'new';
    },
    connect: async () => {
      throw new GloveboxError('engine_unavailable', 'The engine is gone.');
    },
    remove: async () => {},
  };
  const backend = { engine, profile: {}, log: createLog('error') } as unknown as Backend;
  return { backend, listed, started };
}

test('a start has the engine list all sandboxes', async () => {
  const { backend, listed, started } = engineWith(new Set());
  await expect(startSandbox(backend)).rejects.toThrow('gone');
  expect(listed).toEqual([started[0], started[0]]);
});

test('no user is found while there is one', async () => {
  const named = Array.from({ length: lastNamed - first + 1 }, (_, index) => first + index);
  const { backend, started } = engineWith(new Set(named.filter((uid) => uid !== first + 7)));
  await expect(startSandbox(backend)).rejects.toThrow('gone');
  expect(started).toEqual([first + 7]);
});
