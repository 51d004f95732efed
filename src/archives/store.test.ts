import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { contentsOf, entries, identity, testArchives } from '../../test/support/archive-contract.ts';
import { BrokenArchive } from './files/archive-files.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import { EncryptedFiles } from './files/encrypted-files.ts';
import type { ArchiveRecord } from './record.ts';
import { ArchiveStore } from './store.ts';

const MIB = 2 ** 20;
let directory: string;
const openStore = (path: string, maxBytes: number) => new ArchiveStore(new DirectoryFiles(path), maxBytes);
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-store-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const onDisk = ({ id }: ArchiveRecord) =>
  JSON.parse(readFileSync(join(directory, id, 'archive.json'), 'utf8')) as ArchiveRecord;
const namesIn = (record: ArchiveRecord) => readdirSync(join(directory, record.id)).sort();

/** As 05e987f wrote it. */
const OLD = {
  '1.data': 'dataodd',
  '1.index': [
    '{"mode":448,"modified_ms":1000,"path":"folder","type":"directory","size":0}',
    '{"mode":420,"modified_ms":1000,"path":"folder/file","type":"file","size":4,"mark":"12.345.4","segment":1,"offset":0}',
    '{"mode":420,"modified_ms":1000,"path":"hard","type":"hard","size":0,"target":"folder/file"}',
    '{"mode":511,"modified_ms":1000,"path":"link","type":"link","size":0,"target":"/usr/bin/env"}',
    '{"mode":420,"modified_ms":1000,"path":"caf\\udce9","type":"file","size":3,"mark":"","segment":1,"offset":4}',
    '',
  ].join('\n'),
  'archive.json':
    '{"id":"snp_0123456789abcdef01234567","kind":"session","owner":"alice","session_id":"old","created_at":"1970-01-01T00:00:00.000Z","saved_at":"1970-01-01T00:00:01.000Z","at_rest":true,"entries":5,"bytes":7,"index":{"number":1,"bytes":485,"sha256":"200cfb003edd500f64444da8fd0457ae7ee2ae8ccd8ba11f2da7f531db3a88a0"},"segments":[{"number":1,"bytes":7,"sha256":"15d8bed2376208849e63a4acfc047470dfe2a979b93e9a08b2fdec7f143fb1bc"}]}',
};

test('an archive of an earlier release is read as it was', async () => {
  const folder = join(directory, 'snp_0123456789abcdef01234567');
  mkdirSync(folder);
  for (const [name, content] of Object.entries(OLD)) writeFileSync(join(folder, name), content);
  const store = openStore(directory, MIB);
  const [record] = await store.records();
  if (!record) throw new Error('It was not taken.');
  const contents = { folder: '', 'folder/file': 'data', hard: '', link: '', 'caf\udce9': 'odd' };
  expect(await contentsOf(store, record)).toEqual(contents);
  expect(await store.marks(record)).toEqual([{ path: 'folder/file', mark: '12.345.4' }]);
});

describe('an archive', () => {
  test('has what was written, also for the next process', async () => {
    const store = openStore(directory, MIB);
    const record = await store.write(identity(), entries({ a: 'A', empty: '', b: 'B'.repeat(300_000) }));
    await store.verify(record);
    expect(record).toMatchObject({ entries: 3, bytes: 300_001 });
    const [found] = await openStore(directory, MIB).records();
    expect(found).toEqual(record);
    expect(await contentsOf(store, record)).toEqual({ a: 'A', empty: '', b: 'B'.repeat(300_000) });
  });

  test('takes only what is new from its next state, and drops what is in none', async () => {
    const store = openStore(directory, MIB);
    const first = await store.write(identity(), entries({ a: 'aaa', gone: 'gone' }));
    expect(await store.marks(first)).toEqual([
      { path: 'a', mark: 'a.3' },
      { path: 'gone', mark: 'gone.4' },
    ]);
    const second = await store.write(first, entries({ a: null, b: 'new' }, { a: 3 }), { previous: first });
    expect(await contentsOf(store, second)).toEqual({ a: 'aaa', b: 'new' });
    expect(namesIn(second)).toEqual(['1.data', '2.data', '2.index', 'archive.json']);
    const third = await store.write(second, entries({ b: null }, { b: 3 }), { previous: second });
    expect(await contentsOf(store, third)).toEqual({ b: 'new' });
    expect(namesIn(third)).toEqual(['2.data', '3.index', 'archive.json']);
  });

  test('that did not change is not written again', async () => {
    const store = openStore(directory, MIB);
    const first = await store.write(identity(), entries({ a: 'aaa' }));
    const saved_at = new Date(5).toISOString();
    const second = await store.write({ ...first, saved_at }, entries({ a: null }, { a: 3 }), { previous: first });
    const third = await store.write({ ...first, saved_at }, entries({ a: null }, { a: 3 }), { previous: second });
    expect(third).toEqual(second);
    expect(third.segments).toEqual(first.segments);
  });

  test('is to be written whole when most of it is waste', async () => {
    const store = openStore(directory, 100 * MIB);
    let record = await store.write(identity(), entries({ a: 'a', big: Buffer.alloc(3 * MIB) }));
    expect(await store.marks(record)).toHaveLength(2);
    record = await store.write(record, entries({ a: null }, { a: 1 }), { previous: record });
    expect(await store.marks(record)).toEqual([]);
  });

  test('is as it was before when writing it fails, is cancelled, or finds no room', async () => {
    const store = openStore(directory, 2 * MIB);
    const record = await store.write(identity(), entries({ a: 'aaa' }));
    const names = namesIn(record);
    async function* failing() {
      yield* entries({ b: 'b'.repeat(400_000) });
      throw new Error('cut off');
    }
    const options = { previous: record };
    await expect(store.write(record, failing(), options)).rejects.toThrow('cut off');
    const large = entries({ c: Buffer.alloc(2 * MIB) });
    await expect(store.write(record, large, options)).rejects.toMatchObject({ code: 'capacity_exceeded' });
    await expect(store.write(identity(), failing())).rejects.toThrow('cut off');
    const signal = AbortSignal.abort(new Error('cancelled'));
    await expect(store.write(record, entries({ d: 'd' }), { ...options, signal })).rejects.toThrow('cancelled');
    expect(namesIn(record)).toEqual(names);
    expect(readdirSync(directory)).toEqual([record.id]);
    expect(await contentsOf(store, record)).toEqual({ a: 'aaa' });
    await store.write(identity(), entries({ e: Buffer.alloc(MIB) }));
  });

  test('frees its room when it is removed, and no copy goes with it', async () => {
    const store = openStore(directory, 2.5 * MIB);
    const record = await store.write(identity(), entries({ a: Buffer.alloc(MIB, 'a') }));
    const copy = await store.copy(record, { ...identity('copy'), at_rest: true });
    const data = (of: ArchiveRecord) => statSync(join(directory, of.id, '1.data')).ino;
    expect(data(copy)).toBe(data(record));
    await expect(store.copy(record, identity('third'))).rejects.toMatchObject({ code: 'capacity_exceeded' });
    await store.remove(record);
    expect(readdirSync(directory)).toEqual([copy.id]);
    await store.verify(copy);
    expect((await contentsOf(store, copy))['a']).toHaveLength(MIB);
    await store.copy(copy, identity('third'));
  });

  test.each([
    ['1.data', 1000],
    ['1.data', 3 * MIB],
    ['1.index', 1000],
  ])('with one byte of %s (of %i) changed or missing is broken', async (name, size) => {
    const store = openStore(directory, 4 * MIB);
    const record = await store.write(identity(), entries({ a: 'a'.repeat(size) }));
    const read = () => Array.fromAsync(store.readVerified(record, { packed: true }), ({ entry }) => entry.path);
    expect(await read()).toEqual(['a']);
    const path = join(directory, record.id, name);
    const content = readFileSync(path);
    content[50] = (content[50] ?? 0) ^ 1;
    writeFileSync(path, content);
    await expect(store.verify(record)).rejects.toThrow(BrokenArchive);
    await expect(read()).rejects.toThrow(BrokenArchive);
    content[50] = (content[50] ?? 0) ^ 1;
    writeFileSync(path, content);
    await store.verify(record);
    truncateSync(path, content.length - 1);
    await expect(store.verify(record)).rejects.toThrow(BrokenArchive);
    await expect(read()).rejects.toThrow(BrokenArchive);
    rmSync(path);
    await expect(store.verify(record)).rejects.toThrow(BrokenArchive);
    await expect(read()).rejects.toThrow(BrokenArchive);
  });
});

test('what is told soon is known at once, and does not undo on the disk what was told since', async () => {
  const store = openStore(directory, MIB);
  const record = await store.write({ ...identity(), at_rest: true }, entries({ a: 'aaa' }));
  const isAtRest = async (of: ArchiveStore) => (await of.records())[0]?.at_rest;
  const known = async () => [await isAtRest(store), await isAtRest(openStore(directory, MIB))];
  const awake = store.updateSoon(record, { at_rest: false }).record;
  expect(awake.at_rest).toBe(false);
  expect(onDisk(record).at_rest).toBe(true);
  await nextTurn();
  expect(await known()).toEqual([false, false]);
  store.updateSoon(awake, { at_rest: false });
  expect(store.update(awake, { at_rest: true }).written).toBeUndefined();
  expect(onDisk(record).at_rest).toBe(true);
  await nextTurn();
  expect(await known()).toEqual([true, true]);
});

test('what a crash left is removed at the start, and what counts is kept', async () => {
  const store = openStore(directory, MIB);
  const record = await store.write(identity(), entries({ a: 'aaa' }));
  const passing = await store.copy(record, { ...identity(), passing: true });
  store.update(record, { at_rest: true, lost: ['contexts'] });
  writeFileSync(join(directory, record.id, '2.data'), 'half');
  writeFileSync(join(directory, record.id, 'archive.json.new'), '{"half');
  mkdirSync(join(directory, 'snp_half'));
  writeFileSync(join(directory, 'snp_half', '1.data'), 'half');
  const next = openStore(directory, MIB);
  expect(passing.id).not.toBe(record.id);
  expect(await next.records()).toEqual([{ ...record, at_rest: true, lost: ['contexts'] }]);
  expect(readdirSync(directory)).toEqual([record.id]);
  expect(namesIn(record)).toEqual(['1.data', '1.index', 'archive.json']);
});

describe.each([
  ['in a folder', []],
  ['encrypted in a folder', [{ id: 'one', bytes: Buffer.alloc(32, 1) }]],
])('%s', (_, keys) => {
  const contents = () =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) => /\.(data|index)$/.test(path));
  testArchives(() => ({
    open: async (maxBytes) => new ArchiveStore(new EncryptedFiles(new DirectoryFiles(directory), () => keys), maxBytes),
    damage: () => {
      for (const path of contents().map((name) => join(directory, name))) {
        const content = readFileSync(path);
        content[50] = (content[50] ?? 0) ^ 1;
        writeFileSync(path, content);
      }
    },
    count: () => contents().length,
  }));
});
