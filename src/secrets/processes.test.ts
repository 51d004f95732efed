import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listSecrets, setSecret } from './changes.ts';
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

it('does not take what a killed process has left half written', () => {
  setSecret(place, { name: 'A' }, 'canary-before-1');
  for (const path of [secretsPath(place), keyPath(place)]) writeFileSync(`${path}.new`, '{"version": 2, "secr');
  expect(new Secrets(place).valueOf('A')).toBe('canary-before-1');
  setSecret(place, { name: 'A' }, 'canary-after-12');
  expect(new Secrets(place).valueOf('A')).toBe('canary-after-12');
  expect(existsSync(`${secretsPath(place)}.new`)).toBe(false);
});
