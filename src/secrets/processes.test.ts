import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { changeKey, listSecrets, setSecret } from './changes.ts';
import { keyPath, secretsPath } from './file.ts';
import { Secrets } from './secrets.ts';

const PATIENCE = { timeout: 60_000 };

let place: { stateDir: string };
const children: ChildProcess[] = [];

beforeEach(() => {
  place = { stateDir: mkdtempSync(join(tmpdir(), 'glovebox-processes-')) };
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  rmSync(place.stateDir, { recursive: true });
});

/** A process of its own that sets secrets, and writes a line after each. */
function startSetter(name: string, count: number) {
  const code = `
    const { setSecret } = await import(${JSON.stringify(join(import.meta.dirname, 'changes.ts'))});
    for (let n = 0; n < ${count}; n += 1) {
      setSecret(${JSON.stringify(place)}, { name: ${JSON.stringify(name)} + n % 5 }, ${JSON.stringify(name)} + '-canary-' + n);
      process.stdout.write('set\\n');
    }`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return { child, lines: createInterface(child.stdout), ended: once(child, 'exit') };
}

it('loses no secret when several processes set some at once, the first key included', PATIENCE, async () => {
  const names = ['A', 'B', 'C', 'D'];
  const codes = await Promise.all(names.map(async (name) => (await startSetter(name, 20).ended)[0]));
  expect(codes).toEqual([0, 0, 0, 0]);
  const secrets = new Secrets(place);
  for (const name of names) {
    for (let n = 0; n < 5; n += 1) expect(secrets.valueOf(`${name}${n}`)).toBe(`${name}-canary-${n + 15}`);
  }
  expect(listSecrets(place)).toHaveLength(20);
});

it('leaves all secrets as they were or as they become when a process is killed while it writes', PATIENCE, async () => {
  // A file that takes its time.
  const long = 'x'.repeat(8000);
  for (let n = 0; n < 40; n += 1) setSecret(place, { name: `KEPT${n}` }, `${long}${n}`);
  for (let round = 0; round < 8; round += 1) {
    const { child, lines, ended } = startSetter('A', 10_000);
    let seen = 0;
    for await (const _line of lines) {
      seen += 1;
      if (seen === 3 + round) child.kill('SIGKILL');
    }
    await ended;
    const secrets = new Secrets(place);
    for (let n = 0; n < 40; n += 1) expect(secrets.valueOf(`KEPT${n}`)).toBe(`${long}${n}`);
    expect(Number(secrets.valueOf('A0')?.replace('A-canary-', ''))).toBeLessThan(10_000);
    setSecret(place, { name: 'AFTER' }, `after-${round}-canary`);
    expect(secrets.valueOf('AFTER')).toBe(`after-${round}-canary`);
  }
  for (const name of readdirSync(place.stateDir)) {
    expect(readFileSync(join(place.stateDir, name), 'latin1'), name).not.toContain('canary');
  }
});

/** A process of its own that changes the key so many times, and writes a line after each time. */
function startRekeying(times: number) {
  const code = `
    const { changeKey } = await import(${JSON.stringify(join(import.meta.dirname, 'changes.ts'))});
    process.stdout.write('begun\\n');
    for (let n = 0; n < ${times}; n += 1) {
      changeKey(${JSON.stringify(place)});
      process.stdout.write('changed\\n');
    }`;
  const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return { child, lines: createInterface(child.stdout), ended: once(child, 'exit') };
}

const MANY = Array.from({ length: 40 }, (_, n) => `KEPT${n}`);

/** Sets secrets, so that to encrypt them all takes its time. */
function setMany(): (secrets: Secrets) => void {
  for (const name of MANY) setSecret(place, { name }, `${name}-canary-${'x'.repeat(2000)}`);
  return (secrets) => {
    for (const name of MANY) expect(secrets.valueOf(name)).toBe(`${name}-canary-${'x'.repeat(2000)}`);
  };
}

it(
  'can read all secrets when a process is killed while it changes the key, and changes it then',
  PATIENCE,
  async () => {
    const checkAll = setMany();
    for (let round = 0; round < 6; round += 1) {
      const { child, lines, ended } = startRekeying(1000);
      for await (const _line of lines) {
        // At any moment of the work, which takes some milliseconds.
        for (let turn = 0; turn < round * 6; turn += 1) await setImmediate();
        child.kill('SIGKILL');
      }
      await ended;
      checkAll(new Secrets(place));
      const before = readFileSync(keyPath(place), 'utf8').trim().split('\n');
      expect(before.length).toBeLessThanOrEqual(2);
      expect(changeKey(place)).toEqual({ secrets: MANY.length, isOldGone: true });
      expect(readFileSync(keyPath(place), 'utf8').trim().split('\n')).toHaveLength(1);
      checkAll(new Secrets(place));
    }
  },
);

it(
  'reads all secrets of a running server at each moment while other processes change the key and set some',
  PATIENCE,
  async () => {
    const checkAll = setMany();
    const secrets = new Secrets(place);
    const writers = [startRekeying(15), startRekeying(15), startSetter('A', 30)];
    let isOver = false;
    const ended = Promise.all(
      writers.map(async ({ ended: end, lines }) => {
        lines.resume();
        return (await end)[0];
      }),
    ).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      checkAll(secrets);
      for (const { open, name } of secrets.current.bound) expect(open()).toContain(name);
      await setImmediate();
    }
    expect(await ended).toEqual([0, 0, 0]);
    checkAll(secrets);
    expect(secrets.valueOf('A4')).toBe('A-canary-29');
    for (const name of readdirSync(place.stateDir)) {
      expect(readFileSync(join(place.stateDir, name), 'latin1'), name).not.toContain('canary');
    }
  },
);

it('does not take what a killed process has left half written', () => {
  setSecret(place, { name: 'A' }, 'canary-before-1');
  for (const path of [secretsPath(place), keyPath(place)]) writeFileSync(`${path}.new`, '{"version": 2, "secr');
  expect(new Secrets(place).valueOf('A')).toBe('canary-before-1');
  setSecret(place, { name: 'A' }, 'canary-after-12');
  expect(new Secrets(place).valueOf('A')).toBe('canary-after-12');
  expect(existsSync(`${secretsPath(place)}.new`)).toBe(false);
});
