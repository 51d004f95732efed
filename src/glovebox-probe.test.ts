import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../test/support/fake-engine.ts';
import { FakeAssurances, SEALED } from '../test/support/probe-report.ts';
import { loadConfig } from './config/load.ts';
import { Glovebox } from './glovebox.ts';
import type { OpenOptions } from './glovebox-settings.ts';
import { createLog } from './log.ts';
import { PROBE } from './probe/program.ts';

const NO_INODES = { ...SEALED, disks: { ...SEALED.disks, '/workspace': { ...SEALED.disks['/workspace'], inodes: 0 } } };
const ENVIRONMENT = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HIBERNATE_AFTER_S: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };

let stateDir: string;
let machine: FakeMachine;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-probe-'));
  machine = new FakeMachine();
  print(SEALED);
});
afterEach(() => rmSync(stateDir, { recursive: true }));

function print(report: object): void {
  machine.programs.set(PROBE, async (run) => {
    await run.print(JSON.stringify(report));
    return 0;
  });
}

async function open(more: NodeJS.ProcessEnv = {}, options: Partial<OpenOptions> = {}): Promise<Glovebox> {
  const settings = loadConfig({ ...ENVIRONMENT, GLOVEBOX_STATE_DIR: stateDir, GLOVEBOX_CACHE_DIR: stateDir, ...more });
  const openEngine = async () => ({
    ...{ engine: new FakeEngine(machine), profile: FAKE_PROFILE, assurances: new FakeAssurances() },
  });
  const log = { ...createLog('error'), warn: () => {}, info: () => {} };
  return await Glovebox.open(settings, { instance: 'test', log, mayInstall: false, openEngine, ...options });
}

async function openSession(glovebox: Glovebox): Promise<void> {
  using lease = await glovebox.sessions.lease({ owner: 'alice', fallback: 'new' }, 'mine');
  machine.programs.set('1', async () => 0);
  const { signal } = new AbortController();
  await lease.session.execute({ code: '1' }, { timeoutMs: 10_000, signal, onOutput: () => {} });
}

test('a Glovebox whose sandboxes are sealed says nothing of it', async () => {
  await using glovebox = await open();
  expect(await glovebox.health(false)).not.toHaveProperty('missing');
  expect(glovebox.figures).not.toHaveProperty('missing');
  expect(machine.sandboxes.size).toBe(0);
});

test('one whose sandboxes lack what was asked for does not open', async () => {
  print(NO_INODES);
  await expect(open()).rejects.toThrow('inodes (/workspace takes any number of files)');
  await expect(open({ GLOVEBOX_ALLOW_MISSING: 'pids' })).rejects.toThrow('inodes');
  expect(machine.sandboxes.size).toBe(0);
});

test('what is allowed to be missing is in its health and its figures, after a restart too', async () => {
  print(NO_INODES);
  for (let start = 1; start <= 2; start += 1) {
    await using glovebox = await open({ GLOVEBOX_ALLOW_MISSING: 'pids,inodes' });
    expect(await glovebox.health(false)).toMatchObject({ missing: ['inodes'] });
    expect(glovebox.figures.missing).toEqual(['inodes']);
    expect(glovebox.missing).toMatchObject([{ name: 'inodes' }]);
  }
});

test('a refusal leaves the sessions of the last run to the next one that may serve', async () => {
  const kept = { GLOVEBOX_ON_SHUTDOWN: 'keep' };
  const first = await open(kept);
  await openSession(first);
  await first.close();
  print(NO_INODES);
  await expect(open({ GLOVEBOX_ON_SHUTDOWN: 'remove' }, { mustLook: true })).rejects.toThrow('inodes');
  expect(machine.sandboxes.size).toBe(1);
  print(SEALED);
  await using again = await open(kept);
  expect(again.sessions.counts.sessions).toBe(1);
});

test('a kill -9 during the look leaves nothing: the next run removes the sandbox', async () => {
  const looking = Promise.withResolvers<void>();
  machine.programs.set(PROBE, async (run) => {
    looking.resolve();
    await run.interrupted;
    return 130;
  });
  const caller = new AbortController();
  const opening = open({}, { signal: caller.signal }).catch((error: unknown) => error);
  await looking.promise;
  const left = [...machine.sandboxes];
  expect(left).toHaveLength(1);
  caller.abort(new Error('no more'));
  expect(await opening).toMatchObject({ message: 'no more' });
  for (const [ref, { spec }] of left) machine.sandboxes.set(ref, { spec, files: new Map(), strays: 0 });
  print(SEALED);
  await using _next = await open();
  await expect.poll(() => machine.sandboxes.size).toBe(0);
});

describe('an engine that is started again under a running server', () => {
  let engine: FakeEngine;
  let assurances: FakeAssurances;
  const openIt = async () => {
    engine = new FakeEngine(machine);
    assurances = new FakeAssurances();
    return await open({}, { openEngine: async () => ({ engine, profile: FAKE_PROFILE, assurances }) });
  };
  test('without its limits starts no further sandbox', async () => {
    await using glovebox = await openIt();
    assurances.restart();
    assurances.version = '2';
    print(NO_INODES);
    await expect(openSession(glovebox)).rejects.toThrow('inodes');
    await expect(openSession(glovebox)).rejects.toThrow('inodes');
    expect(machine.sandboxes.size).toBe(0);
    print(SEALED);
    await openSession(glovebox);
  });

  test('as it was starts the next one without a look into another', async () => {
    await using glovebox = await openIt();
    assurances.restart();
    print(NO_INODES);
    const starts = () => engine.calls.filter((call) => call === 'start').length;
    const before = starts();
    await openSession(glovebox);
    expect(starts()).toBe(before + 1);
  });
});
