import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { listSecrets, removeSecret, Secrets, secretsPath, setSecret } from './secrets.ts';

let stateDir: string;

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-secrets-'));
});

afterEach(() => rmSync(stateDir, { recursive: true }));

const alice = { name: 'TOKEN', owner: 'alice' };

it('keeps the secrets of owners and shared ones apart, in a file for nobody else', () => {
  setSecret(stateDir, { name: 'TOKEN' }, 'shared-value');
  setSecret(stateDir, alice, 'value-of-alice');
  const secrets = new Secrets(stateDir);
  expect(secrets.valueOf('TOKEN')).toBe('shared-value');
  expect(secrets.valueOf('TOKEN', 'alice')).toBe('value-of-alice');
  expect(secrets.valueOf('TOKEN', 'bob')).toBeUndefined();
  expect(secrets.valueOf('toString')).toBeUndefined();
  expect(secrets.valueOf('TOKEN', 'constructor')).toBeUndefined();
  expect(secrets.values).toEqual(['shared-value', 'value-of-alice']);
  expect(listSecrets(stateDir)).toEqual([{ name: 'TOKEN' }, alice]);
  expect(statSync(secretsPath(stateDir)).mode & 0o777).toBe(0o600);
});

it('sees a change of another process within a second', () => {
  let now = 0;
  const secrets = new Secrets(stateDir, () => now);
  const { values } = secrets;
  setSecret(stateDir, alice, 'value-of-alice');
  expect(secrets.values).toBe(values);
  now += 1000;
  expect(secrets.values).toEqual(['value-of-alice']);
  removeSecret(stateDir, alice);
  now += 1000;
  expect(secrets.valueOf('TOKEN', 'alice')).toBeUndefined();
  // A server may still accept it.
  expect(secrets.values).toEqual(['value-of-alice']);
  expect(JSON.parse(readFileSync(secretsPath(stateDir), 'utf8'))).toEqual({ shared: {}, owners: {} });
});

it('refuses what is no secret, without showing it', () => {
  expect(() => setSecret(stateDir, { name: 'a-b' }, 'x'.repeat(9))).toThrow('"a-b" is no name');
  expect(() => setSecret(stateDir, alice, 'short')).toThrow(/^The value of TOKEN has fewer than 8 characters\.$/);
  expect(() => setSecret(stateDir, alice, 'two lines\nof text')).toThrow(/^The value of TOKEN has more than one line/);
  expect(() => removeSecret(stateDir, alice)).toThrow('There is no secret "TOKEN" (of alice)');
});

it.each(['{"shared": {"A": "hunter2-hunter2"', '{"shared": {"A": {"b": "hunter2-hunter2"}}}'])(
  'does not show a damaged file: %s',
  (text) => {
    writeFileSync(secretsPath(stateDir), text);
    let said = '';
    try {
      new Secrets(stateDir).valueOf('A');
    } catch (error) {
      said = `${error} ${error instanceof Error ? error.cause : ''}`;
    }
    expect(said).toMatch(/cannot be used/);
    expect(said).not.toContain('hunter2');
  },
);
