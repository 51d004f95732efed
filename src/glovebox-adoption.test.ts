import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../test/support/fake-engine.ts';
import { loadConfig } from './config/load.ts';
import { GloveboxError } from './errors.ts';
import { Glovebox } from './glovebox.ts';
import type { OpenOptions } from './glovebox-settings.ts';
import { createLog } from './log.ts';
import type { SandboxRef } from './sandbox/engine.ts';

const CALLER = { owner: 'alice', fallback: 'new' } as const;
const ENVIRONMENT = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HIBERNATE_AFTER_S: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };
const KEEP = { GLOVEBOX_ON_SHUTDOWN: 'keep' };
const REMOVE = { GLOVEBOX_ON_SHUTDOWN: 'remove' };
const SIGNAL = new AbortController().signal;

/** An engine whose runners of an earlier run can be reached only once that is allowed. */
class SlowEngine extends FakeEngine {
  /** Sandboxes whose runners somebody wants to reach, in order. */
  readonly asked: SandboxRef[] = [];
  readonly #open = Promise.withResolvers<void>();
  readonly #slow = new Set(machine.sandboxes.keys());

  allow(ref: SandboxRef | undefined): void {
    if (ref !== undefined) this.#slow.delete(ref);
  }

  allowAll(): void {
    this.#open.resolve();
  }

  override async connect(ref: SandboxRef) {
    this.asked.push(ref);
    if (this.#slow.has(ref)) await this.#open.promise;
    return await super.connect(ref);
  }
}

let stateDir: string;
let machine: FakeMachine;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-adoption-'));
  machine = new FakeMachine();
  machine.programs.set('fine', async () => 0);
  machine.programs.set('endless', () => new Promise(() => {}));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

async function open(engine: FakeEngine, more: NodeJS.ProcessEnv = {}, options: Partial<OpenOptions> = {}) {
  const settings = loadConfig({ ...ENVIRONMENT, GLOVEBOX_STATE_DIR: stateDir, GLOVEBOX_CACHE_DIR: stateDir, ...more });
  const openEngine = async () => ({ engine, profile: FAKE_PROFILE });
  const log = { ...createLog('error'), warn: () => {}, info: () => {} };
  return await Glovebox.open(settings, { instance: 'test', log, mayInstall: false, openEngine, ...options });
}

async function runIn(glovebox: Glovebox, name: string, signal = SIGNAL) {
  using lease = await glovebox.sessions.lease(CALLER, name, { signal });
  return await lease.session.execute({ code: 'fine' }, { timeoutMs: 10_000, signal, onOutput: () => {} });
}

/** Leaves sessions of these names for the next control plane. Returns the sandbox of each. */
async function leave(names: readonly string[]): Promise<Record<string, SandboxRef>> {
  await using first = await open(new FakeEngine(machine), KEEP);
  const refs: Record<string, SandboxRef> = {};
  for (const name of names) {
    await runIn(first, name);
    refs[name] = [...machine.sandboxes.keys()].find((ref) => !Object.values(refs).includes(ref)) ?? '';
  }
  return refs;
}

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
const idsOf = ({ sessions }: Glovebox) => sessions.list('alice').map(({ session_id: id }) => id);

test('a server does not serve until it has adopted every session of the last run', async () => {
  const refs = await leave(NAMES);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  expect(await second.health(false)).toMatchObject({ sessions: 6, adopting: 6 });
  expect(idsOf(second).sort()).toEqual(NAMES);

  // The least recently used one is the last in turn.
  expect(engine.asked).not.toContain(refs['a']);
  engine.allow(refs['a']);
  expect((await runIn(second, 'a')).exitCode).toBe(0);
  expect(second.figures.adopting).toBe(5);

  engine.allowAll();
  await second.sessions.adoptions.settled;
  expect(second.figures).toMatchObject({ sessions: 6, adopting: 0 });
  for (const name of NAMES) expect(await runIn(second, name)).not.toHaveProperty('reset');
  expect(machine.sandboxes.size).toBe(6);
});

test('the adoption of sessions begins before the server listens, and delays its first answers', async () => {
  const refs = await leave(['a', 'b']);
  const engine = new SlowEngine(machine);
  engine.allowAll();
  const listening = Promise.withResolvers<void>();
  await using second = await open(engine, REMOVE, { adoptAfter: listening.promise });
  expect(await runIn(second, 'b')).not.toHaveProperty('reset');
  expect(await second.health(false)).toMatchObject({ sessions: 2, adopting: 1 });
  expect(engine.asked).not.toContain(refs['a']);
  listening.resolve();
  await second.sessions.adoptions.settled;
  expect(engine.asked).toContain(refs['a']);
});

test('an owner gets more sessions than allowed while those of the last run are being adopted', async () => {
  const refs = await leave(['a', 'b']);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, { ...REMOVE, GLOVEBOX_MAX_SESSIONS_PER_OWNER: '2' });
  const opened = runIn(second, 'new');
  await expect.poll(() => engine.asked).toContain(refs['a']);
  expect(idsOf(second)).toHaveLength(2);
  engine.allowAll();
  await opened;
  // Both may have been used last in the same millisecond.
  expect(idsOf(second)).toHaveLength(2);
  expect(idsOf(second)).toContain('new');
});

test('a new session waits for sessions that are being adopted', async () => {
  await leave(['a']);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  expect((await runIn(second, 'new')).exitCode).toBe(0);
  expect(second.figures.adopting).toBe(1);
  engine.allowAll();
});

test('a call that gives up waits on for the adoption of its session', async () => {
  await leave(['a']);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  const caller = new AbortController();
  const call = runIn(second, 'a', caller.signal);
  caller.abort(new Error('left'));
  await expect(call).rejects.toThrow('left');
  engine.allowAll();
});

test('a background execution is unknown until its session is adopted', async () => {
  const first = await open(new FakeEngine(machine), KEEP);
  const lease = await first.sessions.lease(CALLER, 'a');
  const { id } = await lease.session.start('endless');
  lease[Symbol.dispose]();
  await first.close();
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  const cancelled = second.sessions.cancelBackground('alice', id, SIGNAL);
  engine.allowAll();
  expect(await cancelled).toMatchObject({ executionId: id, status: 'cancelled' });
});

test.each([
  ['removes', REMOVE, 0],
  ['keeps', KEEP, 2],
] as const)('a server that stops while it adopts %s the sessions', async (_what, env, left) => {
  await leave(['a', 'b']);
  const second = await open(new SlowEngine(machine), env);
  const call = runIn(second, 'a').catch((error: unknown) => error);
  await second.close();
  expect(await call).toMatchObject({ code: expect.stringMatching('engine_unavailable|session_not_found') });
  expect(machine.sandboxes.size).toBe(left);
  await using third = await open(new FakeEngine(machine), REMOVE);
  expect(idsOf(third)).toHaveLength(left);
  for (const id of idsOf(third)) expect(await runIn(third, id)).not.toHaveProperty('reset');
});

test('a session that is closed while it is being adopted comes back', async () => {
  await leave(['a', 'b']);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  await second.sessions.close('alice', 'a');
  expect(machine.sandboxes.size).toBe(1);
  engine.allowAll();
  await second.sessions.adoptions.settled;
  expect(idsOf(second)).toEqual(['b']);
});

test('an engine that is away for a while loses the sessions that are being adopted', async () => {
  await leave(['a', 'b']);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  engine.isUp = false;
  engine.allowAll();
  await expect(runIn(second, 'a')).rejects.toMatchObject({ code: 'engine_unavailable' });
  expect(second.figures.adopting).toBe(2);
  engine.isUp = true;
  expect(await runIn(second, 'a')).not.toHaveProperty('reset');
  await second.sessions.adoptions.settled;
  expect(await runIn(second, 'b')).not.toHaveProperty('reset');
});

test('a session whose sandbox cannot be adopted goes on in another, says so once, and counts once', async () => {
  const refs = await leave(['a']);
  const engine = new SlowEngine(machine);
  await using second = await open(engine, REMOVE);
  machine.sandboxes.delete(refs['a'] ?? '');
  engine.allowAll();
  expect((await runIn(second, 'a')).reset).toMatchObject({ reason: 'sandbox_lost' });
  expect(await runIn(second, 'a')).not.toHaveProperty('reset');
  expect(second.figures).toMatchObject({ sessions: 1, adopting: 0, claimedMb: 1024 });
});

test('the library opens once all sessions are adopted, and says when the engine does not answer meanwhile', async () => {
  await leave(['a', 'b']);
  const engine = new SlowEngine(machine);
  engine.allowAll();
  const list = engine.list.bind(engine);
  engine.list = async () => {
    const listed = await list();
    engine.isUp = false;
    return listed;
  };
  await expect(open(engine, KEEP, { adoptFirst: true })).rejects.toMatchObject({ code: 'engine_unavailable' });
  await using third = await open(new FakeEngine(machine), REMOVE, { adoptFirst: true });
  expect(third.figures).toMatchObject({ sessions: 2, adopting: 0 });
});

test('a sandbox that cannot be removed keeps no other left-over one, and is removed at the end', async () => {
  const { a = '' } = await leave(['a']);
  const spec = machine.sandboxes.get(a)?.spec ?? { ...FAKE_PROFILE, key: '', instance: '' };
  const engine = new FakeEngine(machine);
  const orphans: SandboxRef[] = [];
  for (const key of ['1', '2', '3']) orphans.push((await engine.start({ ...spec, key })).ref);
  let isStuck = true;
  class StuckEngine extends FakeEngine {
    override async remove(ref: SandboxRef) {
      if (isStuck && ref === orphans[0]) throw new GloveboxError('engine_unavailable', 'It does not end.');
      await super.remove(ref);
    }
  }
  const second = await open(new StuckEngine(machine), KEEP);
  await expect.poll(() => [...machine.sandboxes.keys()]).toEqual([a, orphans[0]]);
  isStuck = false;
  await second.close();
  expect([...machine.sandboxes.keys()]).toEqual([a]);
});
