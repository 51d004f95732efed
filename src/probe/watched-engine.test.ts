import { expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine } from '../../test/support/fake-engine.ts';
import { WatchedEngine } from './watched-engine.ts';

const SPEC = { ...FAKE_PROFILE, key: 'k', instance: 'i' };

/** An engine that was looked at once, with the number of looks; `allow` decides how they end. */
async function open({ canBeWatched = true } = {}) {
  const engine = new FakeEngine();
  const looks = { count: 0, allow: true, restart: () => {} };
  const watched = new WatchedEngine(engine, {
    look: async () => {
      looks.count += 1;
      if (!looks.allow) throw new Error('not sealed');
    },
    watch: async (onChange) => {
      looks.restart = onChange;
      return canBeWatched;
    },
  });
  await watched.settleDoubt();
  return { engine, watched, looks };
}

test('an engine that answers is looked at once', async () => {
  const { watched, looks } = await open();
  const { ref } = await watched.start(SPEC);
  await watched.connect(ref);
  await watched.remove(ref);
  expect([await watched.list(), looks.count]).toEqual([[], 1]);
});

test('one that was away is looked at once more before the next start', async () => {
  const { engine, watched, looks } = await open();
  engine.isUp = false;
  await expect(watched.info()).rejects.toThrow('The engine is away.');
  engine.isUp = true;
  await Promise.all([watched.start(SPEC), watched.start({ ...SPEC, key: 'l' })]);
  await watched.start({ ...SPEC, key: 'm' });
  expect(looks.count).toBe(2);
});

test('one that was restarted while nobody called it is looked at before the next start', async () => {
  const { watched, looks } = await open();
  looks.restart();
  await watched.start(SPEC);
  await watched.start({ ...SPEC, key: 'l' });
  expect(looks.count).toBe(2);
  looks.restart();
  await watched.start({ ...SPEC, key: 'm' });
  expect(looks.count).toBe(3);
});

test('a sandbox that is lost tells of a restart only where nothing else does', async () => {
  for (const [canBeWatched, count] of [[true, 1] as const, [false, 2] as const]) {
    const { watched, looks } = await open({ canBeWatched });
    await expect(watched.connect('gone')).rejects.toMatchObject({ code: 'sandbox_lost' });
    await watched.start(SPEC);
    expect(looks.count).toBe(count);
  }
});

test('it starts nothing until a look is satisfied', async () => {
  const { watched, looks } = await open();
  looks.restart();
  looks.allow = false;
  await expect(watched.start(SPEC)).rejects.toThrow('not sealed');
  await expect(watched.start(SPEC)).rejects.toThrow('not sealed');
  expect(await watched.list()).toEqual([]);
  looks.allow = true;
  await watched.start(SPEC);
  expect(looks.count).toBe(4);
});

test('a start that comes during a look waits for it, and for another if the engine changed meanwhile', async () => {
  const engine = new FakeEngine();
  const seen: string[] = [];
  const ways = { restart: () => {} };
  const watched: WatchedEngine = new WatchedEngine(engine, {
    look: async () => {
      seen.push('look');
      if (seen.length > 1) return;
      void watched.start(SPEC).then(() => seen.push('start'));
      ways.restart();
    },
    watch: async (onChange) => {
      ways.restart = onChange;
      return true;
    },
  });
  await watched.settleDoubt();
  await expect.poll(() => seen).toEqual(['look', 'look', 'start']);
});
