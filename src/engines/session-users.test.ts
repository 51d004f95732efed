import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { endAll, pickUser, SESSION_UIDS, type UserProcesses } from './session-users.ts';

// Of these vitest fakes only the globals.
vi.mock('node:timers/promises', () => ({ setTimeout: (ms: number) => new Promise((done) => setTimeout(done, ms)) }));
beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** The result of `endAll` and how many kills it took, where only the kill of that number ends what runs. */
async function kill(effective: number, { killUser = async () => true, look = async () => {} } = {}) {
  let kills = 0;
  const processes: UserProcesses = {
    kill: () => {
      kills += 1;
      return killUser();
    },
    any: async () => {
      await look();
      return kills < effective;
    },
  };
  const ended = endAll(processes);
  await vi.runAllTimersAsync();
  return { isEmpty: await ended, kills };
}

test('one kill ends what runs', async () => {
  expect(await kill(1)).toEqual({ isEmpty: true, kills: 1 });
});

test('a kill that found no room for its own process was taken for one that killing does not help against', async () => {
  expect(await kill(3)).toEqual({ isEmpty: true, kills: 3 });
});

test('what outlasts every kill is not said to be gone, nor waited for without end', async () => {
  const start = performance.now();
  expect((await kill(Number.POSITIVE_INFINITY)).isEmpty).toBe(false);
  expect(performance.now() - start).toBeLessThan(11_000);
});

test('a kill that had to wait for its turn on a busy machine came too late, and the files were lost', async () => {
  const killUser = () => new Promise<boolean>((done) => setTimeout(done, 8000, true));
  expect(await kill(1, { killUser })).toEqual({ isEmpty: true, kills: 1 });
});

test('a kill that does not end is not tried again', async () => {
  expect(await kill(1, { killUser: () => new Promise(() => {}) })).toEqual({ isEmpty: false, kills: 1 });
});

test('an engine that a fork bomb kept from saying what runs held up the end of that', async () => {
  expect(await kill(1, { look: () => new Promise(() => {}) })).toEqual({ isEmpty: false, kills: 1 });
});

test('code that kills whatever comes to kill it gained five seconds by that', async () => {
  const kills = await kill(Number.POSITIVE_INFINITY, { killUser: async () => false });
  expect(kills).toEqual({ isEmpty: false, kills: 2 });
});

test('one stray kill of the killer cost a container that the next kill saves', async () => {
  const killUser = vi.fn(async () => true).mockResolvedValueOnce(false);
  expect(await kill(2, { killUser })).toEqual({ isEmpty: true, kills: 2 });
});

test('no user is found while there is one', async () => {
  const { first, lastNamed } = SESSION_UIDS;
  const named = Array.from({ length: lastNamed - first + 1 }, (_, index) => first + index);
  const users = named.filter((uid) => uid !== first + 7).map((uid) => ({ key: String(uid), uid }));
  const listUsers = async (uid?: number) => users.filter((user) => uid === undefined || user.uid === uid);
  expect(await pickUser(listUsers)).toBe(first + 7);
});
