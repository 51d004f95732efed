import { execFile } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  addApprover,
  addFirstKey,
  addKey,
  approversFile,
  hashKey,
  isExpired,
  readKeys,
  revokeKeys,
} from './key-file.ts';

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-keys-'));
  path = join(directory, 'state', 'keys.json');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('the key file', () => {
  test('holds the hash of a key and never the key, for its user alone', () => {
    const { key, stored } = addKey(path, 'alice');
    expect(key).toMatch(/^gbk_[A-Za-z0-9_-]{43}$/);
    expect(stored.sha256).toBe(hashKey(key).toString('hex'));
    expect(readKeys(path)).toEqual([stored]);
    for (const name of readdirSync(join(directory, 'state'))) {
      expect(readFileSync(join(directory, 'state', name), 'latin1')).not.toContain(key.slice(4));
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'state')).mode & 0o777).toBe(0o700);
  });

  test('takes a second key of an owner, and loses one by its id or all by name', () => {
    const [first, second, other] = [addKey(path, 'alice'), addKey(path, 'alice'), addKey(path, 'bob')];
    expect(revokeKeys(path, first.stored.id)).toEqual([first.stored]);
    expect(readKeys(path)).toEqual([second.stored, other.stored]);
    addKey(path, 'alice');
    expect(revokeKeys(path, 'alice')).toHaveLength(2);
    expect(readKeys(path)).toEqual([other.stored]);
  });

  test('a file that has keys and can only be read ended the start of a server that would make a first key', () => {
    addKey(path, 'alice');
    // Nobody can take the lock, not even root.
    rmSync(`${path}.lock`);
    mkdirSync(`${path}.lock`);
    expect(addFirstKey(path, 'default')).toBeUndefined();
    expect(() => addKey(path, 'bob')).toThrow('cannot be changed');
  });

  test('says when a key ends', () => {
    const { stored } = addKey(path, 'alice', 2);
    const end = Date.parse(stored.created_at) + 2 * 86_400_000;
    expect(isExpired(stored, end - 1)).toBe(false);
    expect(isExpired(stored, end)).toBe(true);
    expect(isExpired(addKey(path, 'alice').stored, Number.MAX_SAFE_INTEGER)).toBe(false);
  });

  test('loses nothing when many processes change it at once', async () => {
    const module = new URL('./key-file.ts', import.meta.url).href;
    const code = (name: string) =>
      `import { addKey } from ${JSON.stringify(module)}; for (let n = 0; n < 5; n += 1) addKey(${JSON.stringify(path)}, '${name}');`;
    const names = ['a', 'b', 'c', 'd'];
    const run = promisify(execFile);
    await Promise.all(names.map((name) => run(process.execPath, ['--input-type=module', '-e', code(name)])));
    const found = readKeys(path).map(({ name }) => name);
    expect(found.toSorted().join('')).toBe(names.map((name) => name.repeat(5)).join(''));
  });

  test('stays where a symbolic link to it leads', () => {
    addKey(path, 'alice');
    const link = join(directory, 'link.json');
    symlinkSync(path, link);
    addKey(link, 'bob');
    expect(readKeys(path).map(({ name }) => name)).toEqual(['alice', 'bob']);
  });

  test.each(['', 'a b', '-x', 'ä', 'a.b', '../x', 'x'.repeat(65), 'a\n'])('has no key named %j', (name) => {
    expect(() => addKey(path, name)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  });

  test('has no key for the owner of what was made without one', () => {
    expect(() => addKey(path, 'local')).toThrow('created without a key');
  });

  test('an unknown key is not revoked, and the nearest is named', () => {
    addKey(path, 'alice');
    expect(() => revokeKeys(path, 'alcie')).toThrow(
      expect.objectContaining({ code: 'not_found', hint: expect.stringContaining('alice') }),
    );
  });
});

describe('a key that may approve', () => {
  test('is in a file of its own, so that a release that knows of none reads the other, and lets it run nothing', () => {
    const { stored } = addKey(path, 'alice');
    const before = readFileSync(path, 'utf8');
    const approver = addApprover(approversFile(path), 'alice', { owner: 'alice', expiresDays: 1 });
    expect(approversFile(path)).toBe(join(directory, 'state', 'keys.approve.json'));
    expect(readFileSync(path, 'utf8')).toBe(before);
    expect(readKeys(path)).toEqual([stored]);
    expect(readKeys(approversFile(path), 'approve')).toEqual([approver.stored]);
    expect(approver.stored).toMatchObject({ name: 'alice', for: 'alice', expires_at: expect.any(String) });
    expect(statSync(approversFile(path)).mode & 0o777).toBe(0o600);
  });

  test('is no key that runs code, whichever file is taken for the other', () => {
    addKey(path, 'alice');
    addApprover(approversFile(path), 'bob');
    expect(() => readKeys(approversFile(path))).toThrow(/is invalid/);
    expect(() => readKeys(path, 'approve')).toThrow(/is invalid/);
  });

  test('answers for code without a key, too', () => {
    expect(addApprover(approversFile(path), 'bob', { owner: 'local' }).stored.for).toBe('local');
    expect(() => addApprover(approversFile(path), 'bob', { owner: 'a b' })).toThrow('not a valid name');
  });

  test('is revoked like the others: by its id, or with all of its name', () => {
    const [runs, approves] = [addKey(path, 'alice'), addApprover(approversFile(path), 'alice')];
    const other = addApprover(approversFile(path), 'bob');
    expect(revokeKeys(path, approves.stored.id)).toEqual([approves.stored]);
    expect(readKeys(path)).toEqual([runs.stored]);
    addApprover(approversFile(path), 'alice');
    expect(revokeKeys(path, 'alice')).toHaveLength(2);
    expect(readKeys(approversFile(path), 'approve')).toEqual([other.stored]);
    expect(() => revokeKeys(path, 'bbo')).toThrow(expect.objectContaining({ hint: expect.stringContaining('bob') }));
  });
});

describe('a key file that is wrong', () => {
  test('does not hang where a file system denies that a folder is there, as /proc does', () => {
    expect(() => addKey('/proc/glovebox/keys.json', 'alice')).toThrow(
      /\/proc\/glovebox\/keys\.json.*cannot be changed/,
    );
  });

  const key = {
    id: 'alice.01234567',
    name: 'alice',
    sha256: 'a'.repeat(64),
    created_at: '2026-01-01T00:00:00.000Z',
  };

  test.each([
    ['no JSON', '{"keys": [', /is not JSON/],
    ['another shape', '[]', /is invalid/],
    ['a mistyped end', JSON.stringify({ keys: [{ ...key, expire_at: key.created_at }] }), /keys\.0.*expire_at/],
    ['a time that is none', JSON.stringify({ keys: [{ ...key, expires_at: 'tomorrow' }] }), /keys\.0\.expires_at/],
    ['a key itself', JSON.stringify({ keys: [{ ...key, sha256: 'gbk_secret' }] }), /keys\.0\.sha256/],
    ['one key twice', JSON.stringify({ keys: [key, { ...key, id: 'bob.01234567', name: 'bob' }] }), /twice/],
    ['one id twice', JSON.stringify({ keys: [key, { ...key, sha256: 'b'.repeat(64) }] }), /same id/],
  ])('by %s is refused with its place, shows no secret, and is not written over', (_how, text, message) => {
    const file = join(directory, 'keys.json');
    writeFileSync(file, text);
    for (const use of [() => readKeys(file), () => addKey(file, 'bob'), () => revokeKeys(file, 'alice')]) {
      expect(use).toThrow(expect.objectContaining({ code: 'invalid_input', message: expect.stringMatching(message) }));
      expect(use).not.toThrow(/gbk_/);
    }
    expect(readFileSync(file, 'utf8')).toBe(text);
  });
});

test('a key file with a host that is none is refused, for its key would reach something else', () => {
  addKey(path, 'alice', undefined, ['*.example.com:8443']);
  const text = readFileSync(path, 'utf8');
  expect(readKeys(path)[0]?.web).toEqual(['*.example.com:8443']);
  writeFileSync(path, text.replace('*.example.com:8443', 'https://example.com/v1'));
  expect(() => readKeys(path)).toThrow('not a host that code may reach');
});
