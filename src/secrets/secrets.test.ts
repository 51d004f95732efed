import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../log.ts';
import { readBindings } from './binding.ts';
import { changeKey, encryptSecrets, listSecrets, removeSecret, setSecret } from './changes.ts';
import { examineSecrets } from './examine.ts';
import { keyPath, secretsPath } from './file.ts';
import { openSecrets } from './open.ts';
import { Secrets } from './secrets.ts';

let place: { stateDir: string };

beforeEach(() => {
  place = { stateDir: mkdtempSync(join(tmpdir(), 'glovebox-secrets-')) };
});

afterEach(() => rmSync(place.stateDir, { recursive: true }));

const alice = { name: 'TOKEN', owner: 'alice' };
const entry = (id: object) => ({ ...id, bindings: [] });

/** All that the state directory holds. */
function allBytes(): string {
  return readdirSync(place.stateDir)
    .map((name) => readFileSync(join(place.stateDir, name), 'latin1'))
    .join();
}

/** What an action throws, with its cause. */
function saidBy(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return `${error} ${error instanceof Error ? error.cause : ''} ${(error as { hint?: string }).hint}`;
  }
  throw new Error('it has thrown nothing');
}

describe('the file of secrets', () => {
  it('keeps those of owners and shared ones apart, encrypted, in files for nobody else', () => {
    setSecret(place, { name: 'TOKEN' }, 'shared-value');
    setSecret(place, alice, 'value-of-alice');
    const secrets = new Secrets(place);
    expect(secrets.valueOf('TOKEN')).toBe('shared-value');
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('value-of-alice');
    expect(secrets.valueOf('TOKEN', 'bob')).toBeUndefined();
    expect(secrets.valueOf('toString')).toBeUndefined();
    expect(secrets.valueOf('TOKEN', 'constructor')).toBeUndefined();
    expect(secrets.values).toEqual(['shared-value', 'value-of-alice']);
    expect(listSecrets(place)).toEqual([entry({ name: 'TOKEN' }), entry(alice)]);
    for (const path of [secretsPath(place), keyPath(place)]) expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(allBytes()).not.toMatch(/shared-value|value-of-alice/);
  });

  it('encrypts the same value to something else each time', () => {
    const sealed = () => JSON.parse(readFileSync(secretsPath(place), 'utf8')).secrets[0];
    setSecret(place, alice, 'value-of-alice');
    const first = sealed();
    setSecret(place, alice, 'value-of-alice');
    expect(sealed().sealed).not.toBe(first.sealed);
    expect(sealed().nonce).not.toBe(first.nonce);
  });

  it('is seen by a running server at once when another process has changed it', () => {
    const secrets = new Secrets(place);
    expect(secrets.values).toEqual([]);
    setSecret(place, alice, 'value-of-alice');
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('value-of-alice');
    setSecret(place, alice, 'another-of-alice');
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('another-of-alice');
    removeSecret(place, alice);
    expect(secrets.valueOf('TOKEN', 'alice')).toBeUndefined();
    // A server may still accept them.
    expect(secrets.values).toEqual(['value-of-alice', 'another-of-alice']);
    expect(JSON.parse(readFileSync(secretsPath(place), 'utf8'))).toEqual({ version: 2, secrets: [] });
  });

  it('refuses what is no secret, without showing it', () => {
    expect(() => setSecret(place, { name: 'a-b' }, 'x'.repeat(9))).toThrow('"a-b" is no name');
    expect(() => setSecret(place, alice, 'short')).toThrow(/^The value of TOKEN has fewer than 8 characters\.$/);
    expect(() => setSecret(place, alice, 'two lines\nof text')).toThrow(/^The value of TOKEN has more than one line/);
    for (const blank of [' pasted-token', 'pasted-token ', 'pasted-token\u00a0'])
      expect(() => setSecret(place, alice, blank)).toThrow(/^The value of TOKEN begins or ends with a blank\.$/);
    expect(() => setSecret(place, alice, Buffer.from('pass\xe9word-1', 'latin1').toString())).toThrow('no text');
    expect(() => removeSecret(place, alice)).toThrow('There is no secret "TOKEN" (of alice)');
  });

  it.each([
    '{"shared": {"A": "hunter2-hunter2"',
    '{"shared": {"A": {"b": "hunter2-hunter2"}}}',
    '{"version": 3, "secrets": "hunter2-hunter2"}',
    '{"version": 2, "secrets": [{"name": "hunter2 hunter2"}]}',
    '"hunter2-hunter2"',
  ])('is not shown when it is damaged, and not overwritten: %s', (text) => {
    writeFileSync(secretsPath(place), text);
    const said = saidBy(() => new Secrets(place).valueOf('A')) + saidBy(() => setSecret(place, alice, 'x'.repeat(9)));
    expect(said).toMatch(/cannot be used/);
    expect(said).not.toContain('hunter2');
    expect(readFileSync(secretsPath(place), 'utf8')).toBe(text);
  });
});

describe('a change of the key', () => {
  const keys = () => readFileSync(keyPath(place), 'utf8');

  it('encrypts all anew, for a running server too, and with what was bound before', () => {
    setSecret(
      place,
      alice,
      'value-of-alice',
      readBindings({ hosts: ['a.example'], headers: [], queries: [], users: [] }),
    );
    setSecret(place, { name: 'TOKEN' }, 'shared-value');
    const secrets = new Secrets(place);
    const [bound] = secrets.current.bound;
    const [key, file] = [keys(), readFileSync(secretsPath(place), 'utf8')];
    expect(changeKey(place)).toEqual({ secrets: 2, isOldGone: true });
    expect(secrets.valueOf('TOKEN')).toBe('shared-value');
    expect(bound?.open()).toBe('value-of-alice');
    expect(secrets.current.bound[0]?.open()).toBe('value-of-alice');
    expect([keys() === key, keys().trim().includes('\n')]).toEqual([false, false]);
    expect(JSON.parse(readFileSync(secretsPath(place), 'utf8')).secrets[0].sealed).not.toBe(
      JSON.parse(file).secrets[0].sealed,
    );
    // The old key is of no use any more.
    writeFileSync(keyPath(place), key);
    expect(() => new Secrets(place).valueOf('TOKEN')).toThrow('holds another key');
  });

  it('goes on with a key that is in the file already: one of a call that was killed, or of an operator', () => {
    setSecret(place, alice, 'value-of-alice');
    const added = Buffer.alloc(32, 7).toString('base64');
    writeFileSync(keyPath(place), `${keys()}${added}\n`);
    const secrets = new Secrets(place);
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('value-of-alice');
    setSecret(place, alice, 'other-of-alice');
    changeKey(place);
    expect(keys()).toBe(`${added}\n`);
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('other-of-alice');
  });

  it('leaves all as it is where one cannot be decrypted, or there is no key', () => {
    setSecret(place, alice, 'value-of-alice');
    const file = JSON.parse(readFileSync(secretsPath(place), 'utf8'));
    file.secrets[0].name = 'OTHER';
    writeFileSync(secretsPath(place), JSON.stringify(file));
    const before = allBytes();
    expect(() => changeKey(place)).toThrow('was changed by something other than Glovebox');
    expect(allBytes()).toBe(before);
    rmSync(keyPath(place));
    expect(() => changeKey(place)).toThrow('their key, is not there');
  });

  it('works without secrets, and encrypts those of an earlier release', () => {
    expect(changeKey(place)).toEqual({ secrets: 0, isOldGone: true });
    writeFileSync(secretsPath(place), JSON.stringify({ shared: { KEY: 'plain-shared-1' }, owners: {} }));
    expect(changeKey(place)).toEqual({ secrets: 1, isOldGone: true });
    expect(new Secrets(place).valueOf('KEY')).toBe('plain-shared-1');
    expect(allBytes()).not.toContain('plain-');
  });
});

it('looks for the newest values of a secret that is replaced again and again', () => {
  const secrets = new Secrets(place);
  for (let n = 0; n < 30; n += 1) {
    setSecret(place, alice, `value-number-${n}`);
    expect(secrets.values).toContain(`value-number-${n}`);
  }
  expect(secrets.values).toHaveLength(20);
});

describe('the file of an earlier release', () => {
  const OLD = { shared: { KEY: 'plain-shared-1' }, owners: { alice: { TOKEN: 'plain-alice-1' } } };

  beforeEach(() => writeFileSync(secretsPath(place), JSON.stringify(OLD)));

  it('is read as it is', () => {
    const secrets = new Secrets(place);
    expect([secrets.valueOf('KEY'), secrets.valueOf('TOKEN', 'alice')]).toEqual(['plain-shared-1', 'plain-alice-1']);
    expect(listSecrets(place)).toEqual([entry({ name: 'KEY' }), entry(alice)]);
  });

  it.each<readonly [string, () => unknown]>([
    ['a secret is set', () => setSecret(place, { name: 'NEW' }, 'new-value-1')],
    ['a secret is removed', () => removeSecret(place, { name: 'KEY' })],
    ['a server starts', () => openSecrets(place, createLog('error'))],
  ])('is encrypted when %s', (_, action) => {
    action();
    expect(allBytes()).not.toContain('plain-');
    expect(new Secrets(place).valueOf('TOKEN', 'alice')).toBe('plain-alice-1');
  });

  it('is told of in the log when a server encrypts it, and once only', () => {
    const lines: string[] = [];
    const log = createLog('info', (line) => lines.push(line));
    openSecrets(place, log);
    openSecrets(place, log);
    expect(lines).toEqual([expect.stringContaining('are encrypted now')]);
    expect(encryptSecrets(place)).toBe(false);
  });
});

describe('the key', () => {
  const other = Buffer.alloc(32, 7);

  it('that is lost is named, and nothing is overwritten', () => {
    setSecret(place, alice, 'value-of-alice');
    setSecret(place, { name: 'OLD' }, 'another-value');
    const before = readFileSync(secretsPath(place), 'utf8');
    rmSync(keyPath(place));
    const secrets = new Secrets(place);
    for (const action of [() => secrets.valueOf('TOKEN', 'alice'), () => setSecret(place, alice, 'new-of-alice')])
      expect(saidBy(action)).toMatch(
        /cannot be decrypted: .*secrets\.key, their key, is not there.*Bring the key back/,
      );
    expect(secrets.values).toEqual([]);
    expect(readFileSync(secretsPath(place), 'utf8')).toBe(before);
    expect(listSecrets(place)).toHaveLength(2);
    // All can be removed without it, and set anew.
    removeSecret(place, alice);
    removeSecret(place, { name: 'OLD' });
    setSecret(place, alice, 'new-of-alice');
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('new-of-alice');
  });

  it('that is another one is named, and works again once it is back', () => {
    setSecret(place, alice, 'value-of-alice');
    const key = readFileSync(keyPath(place));
    writeFileSync(keyPath(place), other.toString('base64'));
    const secrets = new Secrets(place);
    expect(saidBy(() => secrets.valueOf('TOKEN', 'alice'))).toContain('secrets.key holds another key');
    expect(saidBy(() => setSecret(place, alice, 'new-of-alice'))).toContain('holds another key');
    writeFileSync(keyPath(place), key);
    expect(secrets.valueOf('TOKEN', 'alice')).toBe('value-of-alice');
  });

  it.each(['hex', 'base64', 'base64url'] as const)('may lie elsewhere, in %s', (encoding) => {
    const elsewhere = { ...place, secretsKeyFile: join(place.stateDir, 'elsewhere', 'key') };
    expect(saidBy(() => readBadKey('correct horse battery staple'))).toContain('it is not 32 bytes in base64');
    expect(saidBy(() => readBadKey('correct horse battery staple'))).not.toContain('horse');
    setSecret(elsewhere, alice, 'value-of-alice');
    expect(readdirSync(place.stateDir)).not.toContain('secrets.key');
    removeSecret(elsewhere, alice);
    writeFileSync(keyPath(elsewhere), `${other.toString(encoding)}\n`);
    setSecret(elsewhere, alice, 'value-of-alice');
    expect(new Secrets(elsewhere).valueOf('TOKEN', 'alice')).toBe('value-of-alice');
  });

  function readBadKey(text: string): void {
    const bad = { ...place, secretsKeyFile: join(place.stateDir, 'bad') };
    writeFileSync(keyPath(bad), text);
    setSecret(bad, alice, 'value-of-alice');
  }
});

describe('a secret', () => {
  it('cannot be given to another name, owner or host by who writes the file without the key', () => {
    const bindings = readBindings({ hosts: ['api.example.com'], headers: [], queries: [], users: [] });
    setSecret(place, alice, 'value-of-alice', bindings);
    const text = readFileSync(secretsPath(place), 'utf8');
    const [[from, to] = ['', ''], ...others] = [
      ['api.example.com', 'evil.example.com'],
      ['"owner": "alice"', '"owner": "mallory"'],
      ['"name": "TOKEN"', '"name": "OTHER"'],
      ['Bearer {}', 'Bearer {}!'],
    ] as const;
    for (const [before, after] of [[from, to] as const, ...others]) {
      writeFileSync(secretsPath(place), text.replace(before, after));
      const secrets = new Secrets(place);
      expect(secrets.values).toEqual([]);
      const [bound] = secrets.current.bound;
      expect(saidBy(() => bound?.open())).toContain('was changed by something other than Glovebox');
    }
  });

  it('keeps its hosts when its value is replaced, and gets others when they are named', () => {
    const hosts = (...names: string[]) => readBindings({ hosts: names, headers: [], queries: [], users: [] });
    setSecret(place, alice, 'value-of-alice', hosts('a.example'));
    expect(setSecret(place, alice, 'second-of-alice').bindings).toHaveLength(1);
    expect(setSecret(place, alice, 'second-of-alice', hosts('b.example', 'c.example')).bindings).toHaveLength(2);
    const [bound] = new Secrets(place).current.bound;
    expect(bound?.bindings.map(({ to }) => to)).toEqual(['https://b.example', 'https://c.example']);
    expect(bound?.owner).toBe('alice');
  });

  it('is refused where another of the same owner stands already', () => {
    const hosts = (text: string) => readBindings({ hosts: [text], headers: [], queries: [], users: [] });
    setSecret(place, alice, 'value-of-alice', hosts('a.example'));
    const second = (owner: string, host: string) =>
      setSecret(place, { name: 'TWO', owner }, 'x'.repeat(9), hosts(host));
    expect(saidBy(() => second('alice', 'A.example'))).toContain(
      'Authorization of a.example is the secret TOKEN already',
    );
    expect(saidBy(() => second('alice', 'http://a.example'))).toContain('is the secret TOKEN already');
    second('bob', 'a.example');
    second('alice', 'a.example:8443');
  });
});

it('tells an operator whether secrets can be used, and of files that others can read', async () => {
  expect(await examineSecrets(place)).toEqual([]);
  setSecret(place, alice, 'value-of-alice');
  expect(await examineSecrets(place)).toEqual([['ok', 'secrets', 'secrets can be decrypted']]);
  const { chmodSync } = await import('node:fs');
  chmodSync(keyPath(place), 0o644);
  expect(await examineSecrets(place)).toContainEqual([
    ...['warn', 'secrets', `${keyPath(place)} can be read by other users`, `Run: chmod 600 ${keyPath(place)}`],
  ]);
  rmSync(keyPath(place));
  expect(await examineSecrets(place)).toEqual([
    ['fail', 'secrets', expect.stringContaining('is not there'), expect.anything()],
  ]);
});
