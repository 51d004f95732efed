import { PassThrough } from 'node:stream';
import type Docker from 'dockerode';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createLog } from '../../log.ts';
import { DockerEngine } from './engine.ts';

const SPEC = {
  ...{ key: 'a'.repeat(20), instance: 'test', uid: 10_000, image: 'image' },
  ...{ memoryMb: 256, cpus: 1, pids: 64, diskMb: 64, maxLifetimeS: 60 },
};
const GONE = Object.assign(new Error('no such container'), { statusCode: 404 });

const never = () => new Promise<never>(() => {});

/** An engine that answers as it is told, and what it was asked to remove. */
function openEngine(answers: { create?: Promise<unknown>; remove: () => Promise<unknown>; exec?: Promise<unknown> }) {
  const removed: string[] = [];
  const docker = {
    createContainer: () => answers.create ?? never(),
    getContainer: (id: string) => ({
      id,
      remove: () => {
        removed.push(id);
        return answers.remove();
      },
      exec: async () => ({ start: () => answers.exec ?? never() }),
    }),
  };
  return { engine: new DockerEngine(docker as unknown as Docker, createLog('error')), removed };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('an engine that hangs, or is down for a while', () => {
  test('leaves no container that it made after nobody waited for it any more', async () => {
    const create = Promise.withResolvers<{ id: string }>();
    const { engine, removed } = openEngine({ create: create.promise, remove: () => Promise.reject(GONE) });
    const started = engine.start(SPEC).catch((error: { code: string }) => error.code);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await started).toBe('engine_unavailable');
    expect(removed).toEqual([`glovebox-${SPEC.key}`]);
    create.resolve({ id: 'made-late' });
    await vi.advanceTimersByTimeAsync(0);
    expect(removed.at(-1)).toBe('made-late');
  });

  test('leaves no container that it could not remove when it was told to', async () => {
    let isUp = false;
    const { engine, removed } = openEngine({
      remove: () => (isUp ? Promise.resolve() : Promise.reject(new Error('connect ECONNREFUSED'))),
    });
    await expect(engine.remove('one')).rejects.toMatchObject({ code: 'engine_unavailable' });
    await vi.advanceTimersByTimeAsync(5000);
    isUp = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(removed).toEqual(['one', 'one', 'one']);
  });

  test('leaves no container that another call was removing, and could not', async () => {
    const answers = [{ statusCode: 409, message: 'removal of container one is already in progress' }, undefined];
    const { engine, removed } = openEngine({
      remove: async () => {
        const { message, ...error } = answers.shift() ?? {};
        if (message) throw Object.assign(new Error(message), error);
      },
    });
    await engine.remove('one');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(removed).toEqual(['one', 'one']);
  });

  test('leaves no stream open that came after nobody waited for it any more', async () => {
    const exec = Promise.withResolvers<PassThrough>();
    const { engine } = openEngine({ exec: exec.promise, remove: () => Promise.resolve() });
    const connected = engine.connect('one', 10_000).catch((error: { code: string }) => error.code);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await connected).toBe('engine_unavailable');
    const stream = new PassThrough();
    exec.resolve(stream);
    await vi.advanceTimersByTimeAsync(0);
    expect(stream.destroyed).toBe(true);
  });
});

describe('the kill of all that a user runs', () => {
  test.each([
    ['has been done by one that says so', 'done\n', true],
    ['has been killed itself when it ends without a word', '', false],
  ])('%s', async (_what, word, isDone) => {
    const stream = new PassThrough();
    const { engine } = openEngine({ exec: Promise.resolve(stream), remove: () => Promise.resolve() });
    const killed = engine.killUser('one', 10_000);
    stream.end(word);
    expect(await killed).toBe(isDone);
  });
});
