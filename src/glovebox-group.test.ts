import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { duplexPair } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../test/support/fake-engine.ts';
import { FakeGroup, type FakeMember } from '../test/support/fake-group.ts';
import { loadConfig } from './config/load.ts';
import { Glovebox } from './glovebox.ts';
import { createLog } from './log.ts';
import { LeftSandboxes } from './sessions/lifecycle/left-sandboxes.ts';
import { mintExecutionId } from './sessions/names.ts';

const CALLER = { owner: 'alice', fallback: 'new' } as const;
const SIGNAL = new AbortController().signal;
const INTRODUCTION = { address: '', publicKey: '', version: '1' };
const QUIET = { ...createLog('error'), warn: () => {}, info: () => {} };

let root: string;
let machine: FakeMachine;
let group: FakeGroup;
let opened: Glovebox[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'glovebox-group-'));
  machine = new FakeMachine();
  machine.programs.set('fine', async () => 0);
  machine.programs.set('endless', () => new Promise(() => {}));
  group = new FakeGroup(machine);
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((glovebox) => glovebox.close()));
  rmSync(root, { recursive: true });
});

/** One of several control planes over the same machine. */
async function open(more: NodeJS.ProcessEnv = {}): Promise<{ glovebox: Glovebox; member: FakeMember }> {
  const stateDir = join(root, String(opened.length));
  const settings = loadConfig({
    ...{ GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HIBERNATE_AFTER_S: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' },
    ...{ GLOVEBOX_STATE_DIR: stateDir, GLOVEBOX_CACHE_DIR: stateDir, ...more },
  });
  const member = group.join();
  const openEngine = async () => ({
    ...{ engine: new FakeEngine(machine), profile: FAKE_PROFILE },
    join: async () => member,
  });
  const glovebox = await Glovebox.open(
    { ...settings, state: 'cluster' },
    { instance: 'test', log: QUIET, mayInstall: false, openEngine, introduction: INTRODUCTION },
  );
  opened.push(glovebox);
  return { glovebox, member };
}

async function runIn(glovebox: Glovebox, name: string, code = 'fine') {
  using lease = await glovebox.sessions.lease(CALLER, name, { signal: SIGNAL });
  return await lease.session.execute({ code }, { timeoutMs: 10_000, signal: SIGNAL, onOutput: () => {} });
}

const moved = { code: 'session_moved' };
/** Lets a connection that was ended be noticed. */
const turn = () => new Promise((resolve) => setImmediate(resolve));
const refs = () => [...machine.sandboxes.keys()];

test('a session that another control plane holds is not opened a second time', async () => {
  const [first, second] = [await open(), await open()];
  await runIn(first.glovebox, 'work');
  await expect(runIn(second.glovebox, 'work')).rejects.toMatchObject({ ...moved, begun: false });
  expect(await second.glovebox.sessions.locator.locate('alice', 'work', SIGNAL)).toBe(first.member.self);
  expect(refs()).toHaveLength(1);
});

test('a background execution of a session of another control plane was said not to exist', async () => {
  const [first, second] = [await open(), await open()];
  await runIn(first.glovebox, 'work');
  const id = mintExecutionId('work');
  const find = ({ glovebox }: { glovebox: Glovebox }) => glovebox.sessions.tasks.get('alice', id, SIGNAL);
  await expect(find(second)).rejects.toMatchObject({ ...moved, message: expect.stringContaining('"work"') });
  await expect(find(first)).rejects.toMatchObject({ code: 'execution_not_found' });
  await first.glovebox.close();
  // Nobody has it: it is taken over to be looked at.
  await expect(find(second)).rejects.toMatchObject({ code: 'execution_not_found' });
  expect(second.glovebox.sessions.has('alice', 'work')).toBe(true);
});

test('two control planes that make a session of one name at the same time make one, and leave one sandbox', async () => {
  const [first, second] = [await open(), await open()];
  const both = await Promise.allSettled([runIn(first.glovebox, 'work'), runIn(second.glovebox, 'work')]);
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: moved });
  expect(refs()).toHaveLength(1);
});

test('a session whose holder died goes on in its sandbox, and is claimed once', async () => {
  const [first, second, third] = [await open(), await open(), await open()];
  await runIn(first.glovebox, 'work');
  const before = refs();
  first.member.die();
  const both = await Promise.allSettled([runIn(second.glovebox, 'work'), runIn(third.glovebox, 'work')]);
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect(refs()).toEqual(before);
  expect(group.records.get('alice\0work')).toMatchObject({ generation: 2 });
});

test('a session whose holder stopped is free at once', async () => {
  const [first, second] = [await open(), await open()];
  await runIn(first.glovebox, 'work');
  const before = refs();
  await first.glovebox.close();
  expect(group.records.get('alice\0work')?.holder).toBeUndefined();
  expect(await runIn(second.glovebox, 'work')).toMatchObject({ status: 'ok' });
  expect(refs()).toEqual(before);
});

test('code that claimed its own sandbox made its session answer that it had moved, for ever', async () => {
  const { glovebox } = await open();
  await runIn(glovebox, 'work');
  const before = refs();
  for (const { runner } of machine.sandboxes.values()) runner?.serve(duplexPair()[0], 99);
  await turn();
  expect(await runIn(glovebox, 'work')).toMatchObject({ status: 'ok', reset: { reason: 'sandbox_lost' } });
  expect(refs()).toHaveLength(1);
  expect(refs()).not.toEqual(before);
});

test('a sandbox that another control plane has claimed is left alone, also by one that does not know yet', async () => {
  const { glovebox } = await open();
  await runIn(glovebox, 'work');
  const [before, record] = [refs(), group.records.get('alice\0work')];
  if (record) group.records.set('alice\0work', { ...record, holder: 'another', generation: 2 });
  for (const { runner } of machine.sandboxes.values()) runner?.serve(duplexPair()[0], 2);
  await turn();
  await expect(runIn(glovebox, 'work')).rejects.toMatchObject({ ...moved, begun: false });
  expect(refs()).toEqual(before);
});

describe('a control plane whose lease ran out', () => {
  test('gives up its sessions: calls under way fail, and nothing is removed or written', async () => {
    const { glovebox, member } = await open();
    await runIn(glovebox, 'work');
    const underWay = runIn(glovebox, 'work', 'endless');
    await new Promise((resolve) => setImmediate(resolve));
    const [before, record] = [refs(), group.records.get('alice\0work')];
    member.expire();
    await expect(underWay).rejects.toMatchObject({ ...moved, begun: true });
    await expect(runIn(glovebox, 'work')).rejects.toMatchObject({ code: 'engine_unavailable', begun: false });
    expect([refs(), group.records.get('alice\0work')]).toEqual([before, record]);
  });

  test('gives up a session as soon as it is told that another has it', async () => {
    const [first, second] = [await open(), await open()];
    await runIn(first.glovebox, 'work');
    first.member.isLive = false;
    await runIn(second.glovebox, 'work');
    expect(first.glovebox.sessions.has('alice', 'work')).toBe(false);
    expect(first.glovebox.figures.claimedMb).toBe(0);
  });
});

test('limits of sessions count those of all control planes', async () => {
  const limit = { GLOVEBOX_MAX_SESSIONS_PER_OWNER: '1', GLOVEBOX_MAX_SESSIONS: '1' };
  const [first, second] = [await open(limit), await open(limit)];
  await runIn(first.glovebox, 'one');
  await expect(runIn(second.glovebox, 'two')).rejects.toMatchObject({ code: 'capacity_exceeded' });
});

test('the places for executions are shared between the control planes that live', async () => {
  const places = { GLOVEBOX_MAX_EXECUTIONS: '8' };
  const [first, second] = [await open(places), await open(places)];
  expect(first.glovebox.figures.executions.places).toBe(4);
  second.member.die();
  expect(first.glovebox.figures.executions.places).toBe(8);
});

test('what dead control planes left is removed, and sandboxes of sessions and of live ones are not', async () => {
  const [first, second] = [await open(), await open()];
  await runIn(first.glovebox, 'kept');
  await runIn(second.glovebox, 'own');
  const engine = new FakeEngine(machine);
  const orphan = await engine.start({ ...FAKE_PROFILE, key: 'f'.repeat(20), instance: first.member.label });
  using left = new LeftSandboxes({ engine, state: second.member, pool: () => undefined, log: QUIET });
  await left.look();
  await left.look();
  expect(refs()).toHaveLength(3);
  first.member.die();
  await left.look();
  expect(refs()).toHaveLength(3);
  await left.look();
  expect(refs()).not.toContain(orphan.ref);
  expect(refs()).toHaveLength(2);
});

describe('the pool of a control plane that died', () => {
  const POOLS = { GLOVEBOX_POOL_SIZE: '2', GLOVEBOX_POOL_MAX: '4', GLOVEBOX_MEMORY_MB: '256' };
  const SOON = { timeout: 10_000 };
  const full = async ({ glovebox }: { glovebox: Glovebox }) =>
    await expect.poll(() => glovebox.figures.pool, SOON).toEqual({ size: 2, ready: 2 });
  const keysOf = (label: string) =>
    [...machine.sandboxes.values()].flatMap(({ spec }) => (spec.instance === label ? [spec.key] : []));

  test('is adopted by another as far as that has room, and new sessions run in it', async () => {
    const [first, second] = [await open(POOLS), await open({ ...POOLS, GLOVEBOX_POOL_MAX: '3' })];
    await Promise.all([full(first), full(second)]);
    const theirs = keysOf(first.member.label);
    first.member.die();
    await expect.poll(() => second.glovebox.figures.pool, SOON).toEqual({ size: 3, ready: 3 });
    expect(second.glovebox.figures.claimedMb).toBe(3 * FAKE_PROFILE.memoryMb);
    const adopted = keysOf(second.member.label).filter((key) => theirs.includes(key));
    expect(adopted).toHaveLength(1);
    for (const name of ['one', 'two', 'three']) await runIn(second.glovebox, name);
    const used = [...group.records.values()].map(({ saved }) => saved?.key);
    expect(used).toEqual(expect.arrayContaining(adopted));
  });

  test('is adopted once where two look at the same time', async () => {
    const [first, second, third] = [await open(POOLS), await open(POOLS), await open(POOLS)];
    await Promise.all([full(first), full(second), full(third)]);
    const theirs = keysOf(first.member.label);
    first.member.die();
    const others = [second, third];
    const ready = () => others.reduce((sum, { glovebox }) => sum + glovebox.figures.pool.ready, 0);
    await expect.poll(ready, SOON).toBe(6);
    expect(keysOf(first.member.label)).toEqual([]);
    expect(refs().filter((ref) => theirs.some((key) => ref.endsWith(key)))).toHaveLength(2);
  });

  test('has none of a session, even if that runs nothing any more', async () => {
    const [first, second] = [await open(POOLS), await open(POOLS)];
    await Promise.all([full(first), full(second)]);
    await runIn(first.glovebox, 'work');
    const used = group.records.get('alice\0work')?.saved?.key;
    await full(first);
    first.member.die();
    await expect.poll(() => second.glovebox.figures.pool.ready, SOON).toBe(4);
    expect(keysOf(second.member.label)).not.toContain(used);
  });

  test('is left alone by its own server once the lease of that has run out, which removes and uses none of it', async () => {
    const { glovebox, member } = await open(POOLS);
    await full({ glovebox });
    const before = refs();
    member.expire();
    expect(glovebox.figures).toMatchObject({ claimedMb: 0 });
    await glovebox.close();
    expect(refs()).toEqual(before);
  });
});
