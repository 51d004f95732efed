import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLog } from '../../log.ts';
import { addApprover, addFirstKey, addKey, approversFile, revokeKeys } from './key-file.ts';
import { KeyRing } from './key-ring.ts';

let directory: string;
let path: string;
let lines: string[];
const log = createLog('info', (line) => lines.push(line));

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-ring-'));
  path = join(directory, 'keys.json');
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

class FakeAnswer extends EventEmitter {
  destroy(): void {
    this.emit('close');
  }
}

/** Rewrites when the keys of a name end. */
function setExpiry(name: string, at: Date, field = 'keys', file = path): void {
  const { [field]: keys } = JSON.parse(readFileSync(file, 'utf8'));
  for (const key of keys) if (key.name === name) key.expires_at = at.toISOString();
  writeFileSync(`${file}.other`, JSON.stringify({ [field]: keys }));
  renameSync(`${file}.other`, file);
}

test('finds the owner of each key, and nobody for anything else', () => {
  const [first, second, other] = [addKey(path, 'alice').key, addKey(path, 'alice').key, addKey(path, 'bob').key];
  using ring = KeyRing.open(path, log);
  expect([first, second, other].map((key) => ring.find(key)?.name)).toEqual(['alice', 'alice', 'bob']);
  for (const wrong of ['', first.slice(0, -1), `${first}x`, first.toUpperCase(), 'alice', 'x'.repeat(10_000)]) {
    expect(ring.find(wrong)?.name).toBeUndefined();
  }
});

test('knows a new key and refuses a revoked one from the next request on', () => {
  const alice = addKey(path, 'alice').key;
  using ring = KeyRing.open(path, log);
  const bob = addKey(path, 'bob').key;
  expect(ring.find(bob)?.name).toBe('bob');
  revokeKeys(path, 'alice');
  expect(ring.find(alice)?.name).toBeUndefined();
  expect(ring.find(bob)?.name).toBe('bob');
});

test('refuses a key from its end on', () => {
  const alice = addKey(path, 'alice', 1).key;
  using ring = KeyRing.open(path, log);
  expect(ring.find(alice)?.name).toBe('alice');
  setExpiry('alice', new Date());
  expect(ring.find(alice)?.name).toBeUndefined();
});

test.each([
  ['broken', () => writeFileSync(path, '{"keys": [')],
  ['gone', () => rmSync(path)],
])('keeps the keys it has while the file is %s, says so once, and follows it again', (_how, spoil) => {
  const alice = addKey(path, 'alice').key;
  using ring = KeyRing.open(path, log);
  const good = readFileSync(path);
  spoil();
  expect([ring.find(alice)?.name, ring.find(alice)?.name]).toEqual(['alice', 'alice']);
  expect(lines.filter((line) => line.includes(' error '))).toHaveLength(1);
  expect(lines.join('')).toContain(path);
  writeFileSync(path, good);
  const bob = addKey(path, 'bob').key;
  expect(ring.find(bob)?.name).toBe('bob');
});

test('cuts off the answers to a revoked key, and no others', async () => {
  const [alice, alices, bob] = [addKey(path, 'alice'), addKey(path, 'alice'), addKey(path, 'bob')];
  using ring = KeyRing.open(path, log);
  const [cut, kept, others, done] = [new FakeAnswer(), new FakeAnswer(), new FakeAnswer(), new FakeAnswer()];
  ring.find(alice.key, cut)?.name;
  ring.find(alices.key, kept)?.name;
  ring.find(bob.key, others)?.name;
  ring.find(alice.key, done)?.name;
  done.emit('close');
  const closed: string[] = [];
  for (const [name, answer] of Object.entries({ cut, kept, others, done })) {
    answer.once('close', () => closed.push(name));
  }
  const ended = once(cut, 'close');
  revokeKeys(path, alice.stored.id);
  await ended;
  expect(closed).toEqual(['cut']);
});

test('cuts off the answers to a key that expires', async () => {
  const { key } = addKey(path, 'alice', 1);
  setExpiry('alice', new Date(Date.now() + 300));
  using ring = KeyRing.open(path, log);
  const answer = new FakeAnswer();
  const ended = once(answer, 'close');
  expect(ring.find(key, answer)?.name).toBe('alice');
  await ended;
  expect(ring.find(key)?.name).toBeUndefined();
});

test('does not open where nobody could call, and says how to make a key', () => {
  const refusal = expect.objectContaining({
    code: 'invalid_input',
    message: expect.stringContaining(path),
    hint: expect.stringContaining('glovebox key new <name>'),
  });
  const open = () => KeyRing.open(path, log);
  expect(open).toThrow(refusal);
  addKey(path, 'alice');
  setExpiry('alice', new Date());
  expect(open).toThrow(refusal);
  revokeKeys(path, 'alice');
  expect(open).toThrow(refusal);
  writeFileSync(path, 'x');
  expect(open).toThrow('is not JSON');
});

test('opens without a key where the first is made later, which is then known, and made once', () => {
  using ring = KeyRing.open(path, log, { mayBeEmpty: true });
  expect(ring.find('')?.name).toBeUndefined();
  const first = addFirstKey(path, 'default') ?? '';
  expect(ring.find(first)?.name).toBe('default');
  expect(addFirstKey(path, 'default')).toBeUndefined();
  setExpiry('default', new Date());
  expect(addFirstKey(path, 'default')).toBeUndefined();
  expect(() => KeyRing.open(path, log, { mayBeEmpty: true })).toThrow('has no valid key');
  writeFileSync(path, 'x');
  expect(() => KeyRing.open(path, log, { mayBeEmpty: true })).toThrow('is not JSON');
});

test('knows who could answer whose questions, from the first key on and until the last is gone', () => {
  using ring = KeyRing.open(approversFile(path), log, { mayBeEmpty: true, right: 'approve' });
  const answered = () => ['alice', 'bob'].filter((owner) => ring.mayAnswer(owner));
  expect(answered()).toEqual([]);
  const { key, stored } = addApprover(approversFile(path), 'carol', { owner: 'alice' });
  expect([answered(), ring.find(key)]).toEqual([['alice'], expect.objectContaining({ name: 'carol', for: 'alice' })]);
  addApprover(approversFile(path), 'dave', { expiresDays: 1 });
  expect(answered()).toEqual(['alice', 'bob']);
  revokeKeys(path, stored.id);
  setExpiry('dave', new Date(), 'approvers', approversFile(path));
  expect([answered(), ring.find(key)]).toEqual([[], undefined]);
  expect(lines.filter((line) => line.includes(' error '))).toEqual([]);
  using again = KeyRing.open(approversFile(path), log, { mayBeEmpty: true, right: 'approve' });
  expect(again.mayAnswer('alice')).toBe(false);
});

test('tells what the valid keys of an owner narrow the web to, all together, and nothing of an owner without one', () => {
  addKey(path, 'alice');
  const narrow = addKey(path, 'alice', undefined, ['api.example.com']).stored;
  addKey(path, 'bob', undefined, ['none']);
  using ring = KeyRing.open(path, log);
  expect(ring.webOf('alice')).toEqual([['api.example.com']]);
  expect(ring.webOf('bob')).toEqual([['none']]);
  expect(ring.webOf('carol')).toBeUndefined();
  addKey(path, 'alice', undefined, ['other.example.com']);
  expect(ring.webOf('alice')).toEqual([['api.example.com'], ['other.example.com']]);
  revokeKeys(path, narrow.id);
  expect(ring.webOf('alice')).toEqual([['other.example.com']]);
  revokeKeys(path, 'alice');
  expect(ring.webOf('alice')).toBeUndefined();
});
