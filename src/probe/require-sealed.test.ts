import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FAKE_PROFILE, FakeEngine, FakeMachine } from '../../test/support/fake-engine.ts';
import { FakeAssurances, SEALED } from '../../test/support/probe-report.ts';
import { createLog } from '../log.ts';
import type { Protection } from '../sandbox/assurances.ts';
import { PROBE } from './program.ts';
import { requireSealed } from './require-sealed.ts';

let stateDir: string;
let machine: FakeMachine;
let engine: FakeEngine;
let assurances: FakeAssurances;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-sealed-'));
  machine = new FakeMachine();
  engine = new FakeEngine(machine);
  assurances = new FakeAssurances();
  print(JSON.stringify(SEALED));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

/** Has the program of the probe print this. */
function print(text: string, exitCode = 0): void {
  machine.programs.set(PROBE, async (run) => {
    await run.print(text);
    return exitCode;
  });
}

async function require(allowed: readonly Protection[] = [], mustLook = false) {
  const configuration = { preload: 'none' } as const;
  const log = { ...createLog('error'), warn: () => {} };
  const backend = { engine, profile: FAKE_PROFILE, label: () => 'i', configuration, log, assurances };
  const { signal } = new AbortController();
  return await requireSealed(backend, { allowed, stateDir, mustLook, signal });
}

/** Number of sandboxes that were started. */
const looks = () => engine.calls.filter((call) => call === 'start').length;

describe('a sandbox that is sealed', () => {
  test('is looked at once, and nothing is left of it', async () => {
    expect(await require()).toEqual([]);
    expect(await require()).toEqual([]);
    expect(looks()).toBe(1);
    expect(machine.sandboxes.size).toBe(0);
  });

  test('is looked at again with another engine, image or profile, and where it is asked for', async () => {
    await require();
    assurances.version = '2';
    await require();
    expect(looks()).toBe(2);
    await require([], true);
    expect(looks()).toBe(3);
  });

  test('is looked at each time if the engine does not tell what it is', async () => {
    assurances.version = undefined;
    await require();
    await require();
    expect(looks()).toBe(2);
  });

  test('is looked at again if what was written down is damaged', async () => {
    await require();
    const [name = ''] = readdirSync(join(stateDir, 'probes'));
    writeFileSync(join(stateDir, 'probes', name), '{"at":');
    expect(await require()).toEqual([]);
    expect(looks()).toBe(2);
  });
});

describe('a sandbox that lacks something', () => {
  const WITHOUT_LIMITS = JSON.stringify({
    ...SEALED,
    limits: { ...SEALED.limits, memory: 'max', pids: 'max' },
    taking: { taken: 384 * 2 ** 20, ended: false },
    flood: { started: 80, refused: null },
  });

  test('is refused by name, with what to do, and nothing is left of it', async () => {
    print(WITHOUT_LIMITS);
    const refusal = await require().catch((error: unknown) => error);
    expect(refusal).toMatchObject({
      code: 'engine_unavailable',
      message: expect.stringMatching(/memory \(.*\); pids \(/),
      hint: expect.stringContaining('GLOVEBOX_ALLOW_MISSING=memory,pids'),
    });
    expect(machine.sandboxes.size).toBe(0);
  });

  test('is refused if only some of it is allowed', async () => {
    print(WITHOUT_LIMITS);
    await expect(require(['pids'])).rejects.toThrow(/lack what was asked for: memory \([^;]*\)\.$/);
  });

  test('is told of each time where it is allowed, without a further look', async () => {
    print(WITHOUT_LIMITS);
    const names = async () => (await require(['pids', 'memory'])).map(({ name }) => name);
    expect(await names()).toEqual(['memory', 'pids']);
    expect(await names()).toEqual(['memory', 'pids']);
    expect(looks()).toBe(1);
  });

  test('is looked at again as soon as it is no longer allowed', async () => {
    print(WITHOUT_LIMITS);
    await require(['pids', 'memory']);
    await expect(require()).rejects.toMatchObject({ code: 'engine_unavailable' });
    print(JSON.stringify(SEALED));
    expect(await require()).toEqual([]);
  });

  test('only for its own session is used, and that is told', async () => {
    print(JSON.stringify({ ...SEALED, limits: { ...SEALED.limits, group_end: '1' }, taking: null }));
    expect((await require()).map(({ name }) => name)).toEqual(['oom-group']);
  });

  test('is refused for what the engine says of it, too', async () => {
    assurances.outside = [{ name: 'namespaces', found: 'the engine says that PidMode is "host"' }];
    await expect(require()).rejects.toThrow('namespaces (the engine says that PidMode is "host")');
  });
});

describe('a sandbox of which nothing can be seen', () => {
  test.each([
    ['prints nothing', '', 0],
    ['prints no report', '{"users": "all"}', 0],
    ['fails', 'Traceback', 1],
  ])('is refused where its program %s, and no name allows that', async (_what, text, exitCode) => {
    print(text, exitCode);
    await expect(require(['memory', 'pids', 'seccomp'])).rejects.toThrow('cannot be seen');
    expect(looks()).toBe(2);
    expect(machine.sandboxes.size).toBe(0);
  });

  test('is given a second try', async () => {
    let tries = 0;
    machine.programs.set(PROBE, async (run) => {
      tries += 1;
      if (tries > 1) await run.print(JSON.stringify(SEALED));
      return tries > 1 ? 0 : 1;
    });
    expect(await require()).toEqual([]);
  });

  test('is refused where it cannot start, with the reason of the engine', async () => {
    engine.isUp = false;
    await expect(require()).rejects.toThrow('The engine is away.');
  });
});
