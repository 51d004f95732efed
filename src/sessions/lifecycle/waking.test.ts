import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeSandbox } from '../../../test/support/fake-sandbox.ts';
import { SESSION_LIMITS } from '../../../test/support/session-limits.ts';
import { DirectoryFiles } from '../../archives/files/directory-files.ts';
import { ArchiveSettings } from '../../archives/settings.ts';
import { GloveboxError } from '../../errors.ts';
import { createLog } from '../../log.ts';
import type { SandboxSource } from '../../sandbox/pool.ts';
import { ExecutionMetrics } from '../../scheduling/execution-metrics.ts';
import { ExecutionScheduler } from '../../scheduling/execution-scheduler.ts';
import { MemoryQuota } from '../../scheduling/memory-quota.ts';
import { DirectoryState } from '../../state/directory.ts';
import { Instance } from '../../state/instance.ts';
import { Manifests } from '../../state/manifests.ts';
import { BackgroundRecords } from '../background-records.ts';
import { Sessions } from '../sessions.ts';
import { Hibernation } from './hibernation.ts';
import { ReleasingSessions } from './releasing.ts';

const CALLER = { owner: 'alice', fallback: 'new' } as const;
const MEMORY_MB = SESSION_LIMITS.memoryMb;
const OPTIONS = { timeoutMs: 1000, signal: new AbortController().signal, onOutput: () => {} };

let directory: string;
let sessions: Sessions;
let memory: MemoryQuota;
let state: DirectoryState;
let hibernation: Hibernation;
/** Sandboxes that were taken, in order. */
let taken: FakeSandbox[];
/** Sandboxes that are taken next, before new ones are made. */
let prepared: FakeSandbox[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-waking-'));
  const log = createLog('error');
  const archives = new ArchiveSettings(new DirectoryFiles(join(directory, 'archives')), SESSION_LIMITS, {
    ...log,
    warn: () => {},
  });
  memory = new MemoryQuota({ memoryMb: MEMORY_MB, maxMemoryMb: 10 * MEMORY_MB });
  state = new DirectoryState(Instance.acquire(directory, 'test'), '1');
  hibernation = new Hibernation(archives, new ReleasingSessions(), { ...log, warn: () => {}, info: () => {} });
  [taken, prepared] = [[], []];
  const take = async (owner: string) => {
    memory.claim(owner, 'new');
    const sandbox = prepared.shift() ?? new FakeSandbox(taken.length + 1);
    taken.push(sandbox);
    return sandbox;
  };
  const pool: SandboxSource = { take, holdRefill: () => ({ [Symbol.dispose]() {} }), reopen: () => new FakeSandbox(1) };
  sessions = new Sessions({
    limits: SESSION_LIMITS,
    parseRequirement: (text) => ({ name: text, text }),
    ...{ memory, log, archives, state: () => state },
    scheduler: new ExecutionScheduler({ places: 10, placesPerOwner: 10, waitingPerOwner: 10 }),
    metrics: new ExecutionMetrics(),
    prepare: async () => pool,
    recordsOf: ({ owner, id }) => new BackgroundRecords(directory, owner, id),
  });
});
afterEach(async () => {
  await sessions.shutdown('keep');
  await state[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** A sandbox that is taken next, and can be filled, or go, only when told to. */
function prepare(number: number) {
  const [moving, removal] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const sandbox = Object.assign(new FakeSandbox(number), { moving: moving.promise, removal: removal.promise });
  prepared.push(sandbox);
  return { sandbox, moving, removal };
}

/** Opens a session that nobody uses, in a sandbox that moves and goes at once unless one was prepared. */
async function openUnused(name: string) {
  using lease = await sessions.lease(CALLER, name);
  return lease.session;
}

async function openHibernated(name: string) {
  const session = await openUnused(name);
  expect(await hibernation.hibernate(session, { force: false })).toBe('hibernated');
  return session;
}

const keys = () => new Manifests(join(directory, 'instances', 'test')).readAll().map(({ key }) => key);
const stateOf = (name: string) => sessions.get('alice', name).summarize().state;

test('a session whose archive turns out to be damaged goes on in another sandbox than the half-filled one', async () => {
  const session = await openHibernated('one');
  prepared.push(Object.assign(new FakeSandbox(2), { findsDamage: true }));
  (await sessions.lease(CALLER, 'one'))[Symbol.dispose]();
  expect(taken.map(({ lost }) => lost)).toEqual([true, true, false]);
  expect(keys()).toEqual([taken[2]?.key]);
  expect(stateOf('one')).toBe('active');
  expect(session.isHibernated).toBe(false);
});

describe('a call for a session that is being hibernated', () => {
  test('keeps it awake while its files are being saved', async () => {
    const { sandbox, moving } = prepare(1);
    const session = await openUnused('one');
    const hibernated = hibernation.hibernate(session, { force: true });
    await sandbox.moves;
    (await sessions.lease(CALLER, 'one'))[Symbol.dispose]();
    moving.resolve();
    expect(await hibernated).toBe('used');
    expect(stateOf('one')).toBe('active');
    expect(taken).toEqual([sandbox]);
  });

  test('wakes it in another sandbox while the one that it had is being removed', async () => {
    const { sandbox, moving, removal } = prepare(1);
    moving.resolve();
    const session = await openUnused('one');
    const hibernated = hibernation.hibernate(session, { force: true });
    await sandbox.removed;
    using lease = await sessions.lease(CALLER, 'one');
    removal.resolve();
    await hibernated;
    expect(lease.session).toBe(session);
    expect(stateOf('one')).toBe('active');
    expect(keys()).toEqual([taken[1]?.key]);
  });
});

test('a session is closed, with all its files, because its sandbox takes long to go when it hibernates at the end of its idle time', async () => {
  const { sandbox, moving, removal } = prepare(1);
  moving.resolve();
  const session = await openUnused('one');
  session.lifetime.cutTo(new Date(0));
  const hibernated = hibernation.hibernate(session, { force: true });
  await sandbox.removed;
  expect(hibernation.hibernateIdle(session)).toBe('goes on');
  removal.resolve();
  expect(await hibernated).toBe('hibernated');
  expect(session.lifetime.expiresAt.getTime()).toBeGreaterThan(Date.now());
});

test('a session whose container goes while it is being hibernated is what its last checkpoint has, and says what is lost', async () => {
  const session = await openHibernated('one');
  const lease = await sessions.lease(CALLER, 'one');
  const sandbox = taken[1] as FakeSandbox;
  await session.execute({ code: '1' }, OPTIONS);
  lease[Symbol.dispose]();
  const going = Promise.withResolvers<void>();
  sandbox.moving = going.promise;
  const hibernated = hibernation.hibernate(session, { force: true });
  sandbox.lost = true;
  going.reject(new GloveboxError('sandbox_lost', 'The sandbox went.'));
  expect(await hibernated).toBe('hibernated');
  expect({ state: stateOf('one'), keys: keys(), claimed: memory.claimedMb }).toEqual({
    ...{ state: 'hibernated', keys: [], claimed: 0 },
  });
  const { reset } = await session.execute({ code: '1' }, OPTIONS);
  expect(reset).toMatchObject({ reason: 'sandbox_lost', restoredFrom: session.record?.saved_at });
  expect(reset?.lost).toEqual(['files', 'background']);
});

describe('a waking', () => {
  test('is the same for all calls that ask for it at once', async () => {
    const session = await openHibernated('one');
    const leases = await Promise.all([1, 2, 3].map(() => sessions.lease(CALLER, 'one')));
    expect(leases.map((lease) => lease.session)).toEqual([session, session, session]);
    expect(taken).toHaveLength(2);
    for (const lease of leases) lease[Symbol.dispose]();
    expect(session.lifetime.inUse).toBe(false);
  });

  test('begins the lifetime anew, where the session was hibernated', async () => {
    const session = await openHibernated('one');
    const { wokenAt } = session.lifetime;
    (await sessions.lease(CALLER, 'one'))[Symbol.dispose]();
    expect(session.lifetime.wokenAt).not.toBe(wokenAt);
  });

  test('that fails half-way leaves the session hibernated, nobody in its sandbox, and the next call to wake it', async () => {
    const session = await openHibernated('one');
    const { expiresAt } = session.lifetime;
    const { sandbox, moving, removal } = prepare(2);
    removal.resolve();
    const woken = sessions.lease(CALLER, 'one');
    await sandbox.moves;
    moving.reject(new GloveboxError('sandbox_lost', 'The sandbox went.'));
    await expect(woken).rejects.toMatchObject({ code: 'sandbox_lost' });
    await sandbox.removed;
    expect({ state: stateOf('one'), keys: keys(), claimed: memory.claimedMb }).toEqual({
      ...{ state: 'hibernated', keys: [], claimed: 0 },
    });
    expect(session.lifetime).toMatchObject({ inUse: false, expiresAt });
    using _lease = await sessions.lease(CALLER, 'one');
    expect(stateOf('one')).toBe('active');
  });

  test('goes on for the others when one of the callers has left half-way', async () => {
    const session = await openHibernated('one');
    const { sandbox, moving } = prepare(2);
    const caller = new AbortController();
    const [left, stays] = [sessions.lease(CALLER, 'one', { signal: caller.signal }), sessions.lease(CALLER, 'one')];
    await sandbox.moves;
    caller.abort(new Error('left'));
    moving.resolve();
    for (const lease of await Promise.all([left, stays])) lease[Symbol.dispose]();
    expect(taken).toHaveLength(2);
    expect(session.lifetime.inUse).toBe(false);
    expect(stateOf('one')).toBe('active');
  });

  test('of a session that is closed half-way leaves nothing', async () => {
    await openHibernated('one');
    const { sandbox, moving, removal } = prepare(2);
    removal.resolve();
    const woken = sessions.lease(CALLER, 'one');
    await sandbox.moves;
    const closed = sessions.close('alice', 'one');
    moving.resolve();
    await Promise.allSettled([woken, closed]);
    await sandbox.removed;
    expect(sessions.counts.sessions).toBe(0);
    expect({ keys: keys(), claimed: memory.claimedMb }).toEqual({ keys: [], claimed: 0 });
  });
});
