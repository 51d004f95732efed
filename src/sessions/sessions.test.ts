import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine } from '../../test/support/fake-engine.ts';
import { SESSION_LIMITS } from '../../test/support/session-limits.ts';
import { DirectoryFiles } from '../archives/files/directory-files.ts';
import { ArchiveSettings } from '../archives/settings.ts';
import { createLog } from '../log.ts';
import { Pool } from '../sandbox/pool.ts';
import { StartPace } from '../sandbox/start-pace.ts';
import { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import { ExecutionScheduler } from '../scheduling/execution-scheduler.ts';
import { MemoryQuota } from '../scheduling/memory-quota.ts';
import { DirectoryState } from '../state/directory.ts';
import { Instance } from '../state/instance.ts';
import { BackgroundRecords } from './background-records.ts';
import { Sessions } from './sessions.ts';

const CALLER = { owner: 'alice', fallback: 'new' } as const;
const MEMORY_MB = SESSION_LIMITS.memoryMb;
const FULL = { code: 'capacity_exceeded' };

let directory: string;
let state: DirectoryState;
let sessions: Sessions;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-sessions-'));
  state = new DirectoryState(Instance.acquire(directory, 'test'), '1');
});
afterEach(async () => {
  await sessions.shutdown('keep');
  await state[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** Sessions that never hibernate, over a fake engine, which removes sandboxes when `removed` settles. */
function openSessions({
  maxSessionsPerOwner = 10,
  sandboxes = 10,
  ready = Promise.resolve(),
  removed = Promise.resolve(),
}: {
  maxSessionsPerOwner?: number;
  sandboxes?: number;
  ready?: Promise<void>;
  removed?: Promise<void>;
}) {
  const limits = { ...SESSION_LIMITS, maxSessionsPerOwner, hibernateAfterS: 0 };
  const log = createLog('error');
  const memory = new MemoryQuota({ memoryMb: MEMORY_MB, maxMemoryMb: sandboxes * MEMORY_MB });
  const engine = new FakeEngine();
  const remove = engine.remove.bind(engine);
  engine.remove = (ref) => removed.then(() => remove(ref));
  const backend = {
    engine,
    profile: FAKE_PROFILE,
    label: () => state.label,
    configuration: { preload: 'none' },
    log,
  } as const;
  const pace = new StartPace({ load: () => ({ begun: 0, running: 0 }), processors: 2 });
  const pool = new Pool(backend, {
    size: { least: 0, most: 0 },
    startsAtOnce: 10,
    pace,
    memory,
    log,
    metrics: new ExecutionMetrics().starts,
  });
  sessions = new Sessions({
    limits,
    parseRequirement: (text) => ({ name: text, text }),
    memory,
    log,
    state: () => state,
    archives: new ArchiveSettings(new DirectoryFiles(join(directory, 'archives')), limits, log),
    scheduler: new ExecutionScheduler({ places: 10, placesPerOwner: 10, waitingPerOwner: 10 }),
    metrics: new ExecutionMetrics(),
    prepare: () => ready.then(() => pool),
    recordsOf: ({ owner, id }) => new BackgroundRecords(directory, owner, id),
  });
  return { taken: () => engine.calls.filter((call) => call === 'start').length };
}

const open = (name: string, signal?: AbortSignal) => sessions.lease(CALLER, name, signal ? { signal } : {});

describe('a cap', () => {
  test('two calls that come at once are both let past the last place', async () => {
    openSessions({ maxSessionsPerOwner: 1 });
    const [first, second] = await Promise.allSettled([open('one'), open('two')]);
    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({ status: 'rejected', reason: FULL });
    expect(sessions.counts.sessions).toBe(1);
  });

  test('two calls that come at once take the same memory, and the second is refused although a session is idle', async () => {
    openSessions({ sandboxes: 3 });
    const held = await open('busy');
    for (const name of ['idle', 'old']) (await open(name))[Symbol.dispose]();
    await Promise.all([open('one'), open('two')]);
    expect(sessions.list('alice').map(({ session_id: id }) => id)).toEqual(['busy', 'one', 'two']);
    held[Symbol.dispose]();
  });

  test('a call is refused while a session that makes room is being removed', async () => {
    const removed = Promise.withResolvers<void>();
    openSessions({ sandboxes: 1, removed: removed.promise });
    (await open('one'))[Symbol.dispose]();
    const closed = sessions.close('alice', 'one');
    const opened = open('two');
    removed.resolve();
    await closed;
    expect((await opened).session.id).toBe('two');
  });

  test('a session in use makes no room', async () => {
    openSessions({ sandboxes: 1 });
    (await open('one'))[Symbol.dispose]();
    using _held = await sessions.hold('alice', 'one');
    await expect(open('two')).rejects.toMatchObject(FULL);
  });
});

test('closing a session twice closes the one that has its name by then', async () => {
  const removed = Promise.withResolvers<void>();
  openSessions({ removed: removed.promise });
  const first = await open('one');
  const closed = sessions.close('alice', 'one');
  const second = await open('one');
  first[Symbol.dispose]();
  removed.resolve();
  await closed;
  expect(sessions.get('alice', 'one')).toBe(second.session);
});

describe('a call that waits', () => {
  test('starts a sandbox after the server has stopped', async () => {
    const ready = Promise.withResolvers<void>();
    const { taken } = openSessions({ ready: ready.promise });
    const opened = open('one');
    await sessions.shutdown('remove');
    ready.resolve();
    await expect(opened).rejects.toMatchObject({ code: 'engine_unavailable' });
    expect(taken()).toBe(0);
  });

  test('opens a session after its caller has left', async () => {
    const ready = Promise.withResolvers<void>();
    openSessions({ ready: ready.promise });
    const caller = new AbortController();
    const opened = open('one', caller.signal);
    caller.abort(new Error('left'));
    ready.resolve();
    await expect(opened).rejects.toThrow('left');
    expect(sessions.counts.sessions).toBe(0);
  });
});
