import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../test/support/fake-engine.ts';
import type { FakeProgram } from '../test/support/fake-runner.ts';
import { loadConfig } from './config/load.ts';
import { GloveboxError } from './errors.ts';
import { Glovebox } from './glovebox.ts';
import type { OpenOptions } from './glovebox-settings.ts';
import { createLog } from './log.ts';
import type { Sandbox } from './sandbox/sandbox.ts';

const CALLER = { owner: 'alice', fallback: 'new' } as const;
const ENVIRONMENT = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HIBERNATE_AFTER_S: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };
const REMOVE = { GLOVEBOX_ON_SHUTDOWN: 'remove' };
const KEEP = { GLOVEBOX_ON_SHUTDOWN: 'keep' };
const PROGRAMS: Record<string, FakeProgram> = {
  'print(6 * 7)': async (run) => {
    await run.print('42\n');
    return 0;
  },
  write: async ({ contents }) => {
    contents.files.set('kept.txt', 'kept');
    return 0;
  },
  read: async ({ contents }) => (contents.files.has('kept.txt') ? 0 : 1),
};

let stateDir: string;
let machine: FakeMachine;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-open-'));
  machine = new FakeMachine();
  for (const [code, program] of Object.entries(PROGRAMS)) machine.programs.set(code, program);
});
afterEach(() => rmSync(stateDir, { recursive: true }));

/** A Glovebox over the one machine of a test, named alike each time. */
async function open(more: NodeJS.ProcessEnv = {}, options: Partial<OpenOptions> = {}): Promise<Glovebox> {
  const settings = loadConfig({ ...ENVIRONMENT, GLOVEBOX_STATE_DIR: stateDir, GLOVEBOX_CACHE_DIR: stateDir, ...more });
  const openEngine = async () => ({ engine: new FakeEngine(machine), profile: FAKE_PROFILE });
  const log = { ...createLog('error'), warn: () => {}, info: () => {} };
  return await Glovebox.open(settings, { instance: 'test', log, mayInstall: false, openEngine, ...options });
}

async function runIn(glovebox: Glovebox, code: string): ReturnType<Sandbox['execute']> {
  using lease = await glovebox.sessions.lease(CALLER, 'mine');
  const signal = new AbortController().signal;
  return await lease.session.execute({ code }, { timeoutMs: 10_000, signal, onOutput: () => {} });
}

describe('health', () => {
  test('names the engine and counts sessions', async () => {
    await using glovebox = await open();
    await runIn(glovebox, 'write');
    expect(await glovebox.health(false)).toMatchObject({ engine: { name: 'Fake' }, image: 'fake', sessions: 1 });
  });

  test('runs code in a sandbox of its own when it is to look deeply', async () => {
    await using glovebox = await open();
    await glovebox.health(true);
    expect(machine.sandboxes.size).toBe(0);
    machine.programs.set('print(6 * 7)', async () => 0);
    await expect(glovebox.health(true)).rejects.toMatchObject({ code: 'sandbox_lost' });
  });
});

describe('the end', () => {
  test('removes sessions and sandboxes that nobody took, and lets another of its name begin', async () => {
    const glovebox = await open({ ...REMOVE, GLOVEBOX_POOL_SIZE: '2' });
    await runIn(glovebox, 'write');
    await expect.poll(() => glovebox.figures.pool.ready).toBe(2);
    await expect(open()).rejects.toMatchObject({ code: 'invalid_input' });
    await Promise.all([glovebox.close(), glovebox.close()]);
    expect(machine.sandboxes.size).toBe(0);
    await (await open()).close();
  });

  test('keeps sessions for the next of its name, which go on with all that is in them', async () => {
    const first = await open(KEEP);
    await runIn(first, 'write');
    await first.close();
    expect(machine.sandboxes.size).toBe(1);
    await using second = await open(REMOVE);
    const end = await runIn(second, 'read');
    expect(end.exitCode).toBe(0);
    expect(end).not.toHaveProperty('reset');
    expect(machine.sandboxes.size).toBe(1);
  });

  test.each<[string, () => Promise<boolean>, number]>([
    ['keeps them if there will be a next', async () => true, 1],
    ['removes them if there will be none', async () => false, 0],
    ['keeps them if nobody says', () => Promise.reject(new Error('no answer')), 1],
  ])('%s', async (_what, mayKeep, kept) => {
    const glovebox = await open(KEEP, { mayKeep });
    await runIn(glovebox, 'write');
    await glovebox.close();
    expect(machine.sandboxes.size).toBe(kept);
  });
});

describe('what is left at the end', () => {
  /** An engine whose removals fail at first, as often as told. */
  function refusing(times: number): FakeEngine {
    const engine = new FakeEngine(machine);
    const remove = engine.remove.bind(engine);
    let left = times;
    engine.remove = async (ref) => {
      left -= 1;
      if (left >= 0) throw new GloveboxError('engine_unavailable', 'The container did not end.');
      await remove(ref);
    };
    return engine;
  }
  const openOn = (engine: FakeEngine, more: NodeJS.ProcessEnv) =>
    open(more, { openEngine: async () => ({ engine, profile: FAKE_PROFILE }) });

  test('is removed as soon as the engine can, and its session is not found again', async () => {
    const glovebox = await openOn(refusing(5), { ...REMOVE, GLOVEBOX_POOL_SIZE: '2' });
    await runIn(glovebox, 'write');
    await expect.poll(() => glovebox.figures.pool.ready).toBe(2);
    await glovebox.close();
    expect(machine.sandboxes.size).toBe(0);
    await using next = await open();
    expect(next.figures.sessions).toBe(0);
  });

  test('is removed when the control plane that had asked for it was killed before the engine made it', async () => {
    await using passing = await open();
    await runIn(passing, 'write');
    const [made] = [...machine.sandboxes.values()];
    await passing.close();
    const second = await open(KEEP);
    await runIn(second, 'write');
    if (made) machine.sandboxes.set('late/key', made);
    expect(machine.sandboxes.size).toBe(2);
    await second.close();
    expect([...machine.sandboxes.keys()]).toEqual([expect.not.stringContaining('late')]);
  });

  test('is told when the engine does not answer any more', async () => {
    const engine = new FakeEngine(machine);
    const warnings: string[] = [];
    const log = { ...createLog('error'), warn: (message: string) => void warnings.push(message), info: () => {} };
    const openEngine = async () => ({ engine, profile: FAKE_PROFILE });
    const glovebox = await open(REMOVE, { log, openEngine });
    engine.isUp = false;
    await glovebox.close();
    expect(warnings).toEqual(['sandboxes may be left, which the next start removes']);
  });

  test('is no sandbox of the pool, though its runner never starts', async () => {
    const engine = new FakeEngine(machine);
    const asked = Promise.withResolvers<void>();
    engine.connect = () => {
      asked.resolve();
      return new Promise<never>(() => {});
    };
    const glovebox = await openOn(engine, { ...REMOVE, GLOVEBOX_POOL_SIZE: '1' });
    await asked.promise;
    await glovebox.close();
    expect(machine.sandboxes.size).toBe(0);
  });
});

describe('an opening that fails', () => {
  const fail = () => Promise.reject(new GloveboxError('engine_unavailable', 'There is no engine.'));

  test('leaves its name to the next', async () => {
    await expect(open({}, { openEngine: fail })).rejects.toThrow('There is no engine.');
    await (await open()).close();
  });

  test('is one of the first call, where that opens the engine, and the next call tries again', async () => {
    let isThere = false;
    const openEngine = async () => (isThere ? { engine: new FakeEngine(machine), profile: FAKE_PROFILE } : fail());
    await using glovebox = await open(REMOVE, { lazy: true, openEngine });
    await expect(runIn(glovebox, 'write')).rejects.toThrow('There is no engine.');
    isThere = true;
    expect((await runIn(glovebox, 'write')).exitCode).toBe(0);
  });

  test('ends with its signal, and with it what was under way', async () => {
    const caller = new AbortController();
    const ended = Promise.withResolvers<unknown>();
    const opening = open(
      {},
      {
        signal: caller.signal,
        openEngine: (_settings, { signal }) =>
          new Promise((_resolve, reject) => {
            signal?.addEventListener('abort', () => {
              ended.resolve(signal.reason);
              reject(signal.reason);
            });
            caller.abort(new Error('no more'));
          }),
      },
    );
    await expect(opening).rejects.toThrow('no more');
    expect(await ended.promise).toMatchObject({ code: 'engine_unavailable' });
  });
});

test('a Glovebox that is closed while it takes over the sessions of the last run leaves their sandboxes behind', async () => {
  const first = await open(KEEP);
  await runIn(first, 'write');
  await first.close();
  const engine = new FakeEngine(machine);
  const [listing, listed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const list = engine.list.bind(engine);
  engine.list = async () => {
    listing.resolve();
    await listed.promise;
    return await list();
  };
  const openEngine = async () => ({ engine, profile: FAKE_PROFILE });
  const glovebox = await open(REMOVE, { lazy: true, openEngine });
  const prepared = glovebox.prepare().catch(() => {});
  await listing.promise;
  const closed = glovebox.close();
  listed.resolve();
  await Promise.all([prepared, closed]);
  expect(machine.sandboxes.size).toBe(0);
});

test('a call that met an engine that was away was not told whether it had begun', async () => {
  const engine = new FakeEngine(machine);
  await using glovebox = await open({}, { openEngine: async () => ({ engine, profile: FAKE_PROFILE }) });
  await runIn(glovebox, 'write');
  machine.programs.set('cut off', async () => {
    engine.isUp = false;
    // The runner leaves its connection for another.
    for (const { runner } of machine.sandboxes.values()) runner?.serve(duplexPair()[0]);
    return 0;
  });
  const away = { code: 'engine_unavailable', message: 'The engine is away.' };
  await expect(runIn(glovebox, 'cut off')).rejects.toMatchObject({ ...away, begun: true });
  await expect(runIn(glovebox, 'write')).rejects.toMatchObject({ ...away, begun: false });
  await expect(glovebox.sessions.lease(CALLER, 'new')).rejects.toMatchObject({ ...away, begun: false });
  engine.isUp = true;
  expect(await runIn(glovebox, 'read')).toMatchObject({ status: 'ok' });
});
