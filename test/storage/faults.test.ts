import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { EncryptedFiles } from '../../src/archives/files/encrypted-files.ts';
import type { ArchiveKey } from '../../src/archives/files/encryption.ts';
import { S3Files } from '../../src/archives/files/s3-files.ts';
import { S3Records } from '../../src/archives/files/s3-records.ts';
import { sweep } from '../../src/archives/files/s3-sweep.ts';
import { ArchiveStore } from '../../src/archives/store.ts';
import { createLog } from '../../src/log.ts';
import { Bucket } from '../../src/s3/bucket.ts';
import { contentsOf, entries, identity } from '../support/archive-contract.ts';
import { type FaultyProxy, openFaultyProxy } from '../support/faulty-proxy.ts';
import { CREDENTIALS, openStorage, STORAGE, type Storage } from '../support/storage.ts';

const MIB = 2 ** 20;
const PART = 8 * MIB;
const LOG = createLog('error');

let storage: Storage;
let proxy: FaultyProxy;
let prefix = '';
let rounds = 0;
beforeAll(async () => {
  storage = await openStorage();
}, 600_000);
afterAll(async () => await storage[Symbol.asyncDispose]());
beforeEach(async () => {
  rounds += 1;
  prefix = `fault-${rounds}/`;
  proxy = await openFaultyProxy(storage.port);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await proxy[Symbol.asyncDispose]();
});

/** A store of a control plane, behind the proxy. */
function openStore(keys: readonly ArchiveKey[] = []): ArchiveStore {
  const files = new S3Files(storage.open(prefix, proxy.port), 'one', LOG);
  return new ArchiveStore(new EncryptedFiles(files, () => keys), 1000 * MIB);
}

const objects = () => storage.files().filter((path) => path.includes(`/objects/archives/${prefix}`));

/** Does something to one piece of bytes beyond a number of bytes of one connection, once. */
function once(
  beyond: number,
  act: (piece: Buffer) => Buffer | undefined,
): (piece: Buffer, total: number) => Buffer | undefined {
  let isDone = false;
  return (piece, total) => {
    if (isDone || total + piece.length <= beyond) return piece;
    isDone = true;
    return act(piece);
  };
}

function flip(piece: Buffer): Buffer {
  const changed = Buffer.from(piece);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  return changed;
}

test('a part that breaks off is sent again, and not the whole', async () => {
  let sent = 0;
  const cut = once(5 * MIB, () => undefined);
  proxy.toServer = (piece, total) => {
    sent += piece.length;
    return cut(piece, total);
  };
  const store = openStore();
  const big = randomBytes(5 * PART);
  const record = await store.write(identity(), entries({ big }));
  expect(sent).toBeGreaterThan(5 * PART + 4 * MIB);
  // Up to two parts are on their way at once, and both may share what was cut.
  expect(sent).toBeLessThan(7.5 * PART);
  await store.verify(record);
});

// rclone does not look at checksums of what it gets.
test.skipIf(STORAGE === 'rclone')(
  'bytes that change on the way to the storage are refused there, and sent again',
  async () => {
    const changed = vi.fn(flip);
    proxy.toServer = once(5 * MIB, changed);
    const store = openStore();
    const record = await store.write(identity(), entries({ big: randomBytes(2 * PART) }));
    expect(changed).toHaveBeenCalled();
    proxy.toServer = undefined;
    await store.verify(record);
  },
);

test('bytes that change on the way back are fetched again, and an archive is not broken by them', async () => {
  const store = openStore();
  const record = await store.write(identity(), entries({ big: randomBytes(2 * PART) }));
  const changed = vi.fn(flip);
  proxy.toClient = once(3 * MIB, changed);
  proxy.cut();
  await openStore().verify(record);
  expect(changed).toHaveBeenCalled();
});

test('a download that breaks off goes on', async () => {
  const store = openStore();
  const record = await store.write(identity(), entries({ big: 'x'.repeat(2 * PART) }));
  const cut = vi.fn(() => undefined);
  proxy.toClient = once(3 * MIB, cut);
  proxy.cut();
  expect((await contentsOf(openStore(), record))['big']).toHaveLength(2 * PART);
  expect(cut).toHaveBeenCalled();
});

test('a record whose answer was lost is written, and is nobody else’s', async () => {
  const store = openStore();
  const first = await store.write(identity(), entries({ a: 'a' }));
  proxy.cut();
  // The first connection from now on sends the contents: only the last answer of the write is cut.
  let answers = 0;
  proxy.toClient = (piece) => {
    answers += 1;
    return answers === 4 ? undefined : piece;
  };
  const second = await store.write(first, entries({ b: 'b' }), { previous: first });
  proxy.toClient = undefined;
  proxy.cut();
  const next = openStore();
  expect(await next.records()).toEqual([second]);
  expect(await contentsOf(next, second)).toEqual({ b: 'b' });
});

test('a storage that is gone is told, and what it had is there when it is back', async () => {
  const store = openStore();
  const record = await store.write(identity(), entries({ a: 'a' }));
  let pieces = 0;
  const upload = async function* () {
    yield* entries({ b: randomBytes(3 * PART) });
    pieces += 1;
    await storage.kill();
    yield* entries({ c: randomBytes(3 * PART) });
  };
  await expect(store.write(record, upload(), { previous: record })).rejects.toMatchObject({
    code: 'archive_unavailable',
  });
  expect(pieces).toBe(1);
  await expect(store.records()).rejects.toMatchObject({ code: 'archive_unavailable' });
  await storage.start();
  expect(await store.records()).toEqual([record]);
  expect(await contentsOf(store, record)).toEqual({ a: 'a' });
  const bucket = storage.open(prefix);
  // rclone keeps what is not finished in memory.
  expect(await Array.fromAsync(bucket.uploads('files/'))).toHaveLength(STORAGE === 'rclone' ? 0 : 1);
  await sweep(bucket, new S3Records(bucket, 'other', LOG), LOG, -60_000);
  expect(await Array.fromAsync(bucket.uploads('files/'))).toEqual([]);
  expect(await contentsOf(store, record)).toEqual({ a: 'a' });
}, 120_000);

test('a storage that is away for a moment fails nothing', async () => {
  const store = openStore();
  const upload = async function* () {
    yield* entries({ b: randomBytes(2 * PART) });
    await storage.kill();
    setTimeout(() => void storage.start(), 500);
    yield* entries({ c: randomBytes(2 * PART) });
  };
  const record = await store.write(identity(), upload());
  await store.verify(record);
});

test('of two writers of one archive one wins, and its archive is whole', async () => {
  const [one, two] = [openStore(), openStore()];
  const first = await one.write(identity(), entries({ a: 'a' }));
  const write = (store: ArchiveStore, text: string) =>
    store.write(first, entries({ a: null, [text]: text }, { a: 1 }), { previous: first });
  const outcomes = await Promise.allSettled([write(one, 'one'), write(two, 'two')]);
  const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const lost = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason] : []));
  expect(lost).toEqual([expect.objectContaining({ code: 'session_busy' })]);
  const third = openStore();
  expect(await third.records()).toEqual(won);
  const [record] = won;
  if (!record) throw new Error('Nobody won.');
  expect(await contentsOf(third, record)).toEqual(
    outcomes[0]?.status === 'fulfilled' ? { a: 'a', one: 'one' } : { a: 'a', two: 'two' },
  );
  const loser = outcomes[0]?.status === 'fulfilled' ? two : one;
  await expect(loser.update(first, { at_rest: true }).written).rejects.toMatchObject({ code: 'session_busy' });
});

test('an earlier holder does not write what a later one has', async () => {
  const [former, holder] = [openStore(), openStore()];
  const first = await former.write(identity('s', { generation: 1 }), entries({ a: 'a' }));
  await holder.records();
  const taken = holder.update(first, { at_rest: false, generation: 2 });
  await taken.written;
  await expect(former.write(first, entries({ b: 'b' }), { previous: first })).rejects.toMatchObject({
    code: 'session_busy',
  });
  await expect(former.update(first, { at_rest: true }).written).rejects.toMatchObject({ code: 'session_busy' });
  await former.remove(first);
  const second = await holder.write({ ...taken.record }, entries({ a: null, c: 'c' }, { a: 1 }), {
    previous: taken.record,
  });
  expect(await openStore().records()).toEqual([second]);
  expect(await contentsOf(holder, second)).toEqual({ a: 'a', c: 'c' });
});

test('what nobody names is removed once it is old, and nothing that is named or young', async () => {
  const store = openStore();
  const record = await store.write(identity(), entries({ a: 'a' }));
  const bucket = storage.open(prefix);
  await bucket.put('files/snp_left/1.data', Buffer.from('left'));
  await bucket.put(`files/${record.id}/2.data`, Buffer.from('left'));
  await bucket.begin('files/snp_left/3.data');
  const files = async () => (await Array.fromAsync(bucket.list('files/'))).length;
  await sweep(bucket, new S3Records(bucket, 'other', LOG), LOG);
  expect(await files()).toBe(4);
  await sweep(bucket, new S3Records(bucket, 'other', LOG), LOG, -60_000);
  expect(await files()).toBe(2);
  expect(await Array.fromAsync(bucket.uploads('files/'))).toEqual([]);
  expect(await contentsOf(store, record)).toEqual({ a: 'a' });
});

test('a record that cannot be read keeps its files', async () => {
  const store = openStore();
  const record = await store.write(identity(), entries({ a: 'a' }));
  const bucket = storage.open(prefix);
  const [{ key } = { key: '' }] = await Array.fromAsync(bucket.list('sessions/'));
  await bucket.put(key, Buffer.from('{"half'));
  const quiet = { ...LOG, error: () => {} };
  await sweep(bucket, new S3Records(bucket, 'other', quiet), quiet, -60_000);
  expect((await Array.fromAsync(bucket.list(`files/${record.id}/`))).length).toBe(2);
});

test('a broken archive that is set aside can still be had', async () => {
  const store = openStore();
  const record = await store.write(identity(), entries({ a: 'a' }));
  await store.setAside(record);
  expect(await store.records()).toEqual([]);
  const bucket = storage.open(prefix);
  await sweep(bucket, new S3Records(bucket, 'other', LOG), LOG, -60_000);
  expect((await Array.fromAsync(bucket.list('broken/'))).map(({ key }) => key)).toEqual([`broken/${record.id}.json`]);
  expect(await contentsOf(store, record)).toEqual({ a: 'a' });
});

test('wrong credentials, and a bucket that is not there, are told as what they are', async () => {
  const place = {
    endpoint: new URL(storage.endpoint),
    region: 'us-east-1',
    bucket: 'archives',
    pathStyle: true,
    credentials: () => CREDENTIALS,
    access: { proxy: {} },
  };
  const failure = async (changes: Partial<typeof place>) =>
    await new Bucket({ ...place, ...changes }, '').put('x', Buffer.from('x')).then(String, (error: unknown) => error);
  const wrong = { credentials: () => ({ ...CREDENTIALS, secretAccessKey: 'wrong' }) };
  expect(await failure(wrong)).toMatchObject({
    code: 'archive_unavailable',
    message: expect.stringContaining('credentials'),
  });
  const unknown = { credentials: () => ({ ...CREDENTIALS, accessKeyId: 'unknown' }) };
  expect(await failure(unknown)).toMatchObject({
    code: 'archive_unavailable',
    message: expect.stringContaining('credentials'),
  });
  expect(await failure({ bucket: 'none-such' })).toMatchObject({ message: expect.stringContaining('no bucket') });
});

test('a clock that is an hour ahead is told from the answer of the storage, and corrected', async () => {
  const now = Date.now.bind(Date);
  const original = Date;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
  expect(original.now()).toBeGreaterThan(now());
  const bucket = storage.open(prefix);
  await bucket.put('x', Buffer.from('x'));
  expect(bucket.now()).toBeLessThan(now() + 60_000);
});

test('contents and names of an encrypted archive are nowhere in the storage, and another key does not read it', async () => {
  const [old, fresh] = [
    { id: 'old', bytes: randomBytes(32) },
    { id: 'new', bytes: randomBytes(32) },
  ];
  const canary = `canary-${randomBytes(8).toString('hex')}`;
  const store = openStore([old]);
  const record = await store.write(identity(), entries({ [`${canary}-name`]: canary.repeat(10_000) }));
  expect(objects()).toHaveLength(3);
  expect(storage.holds(canary)).toBe(false);
  const rotated = openStore([old, fresh]);
  const second = await rotated.write(
    record,
    entries({ [`${canary}-name`]: null, b: 'b' }, { [`${canary}-name`]: canary.length * 10_000 }),
    {
      previous: record,
    },
  );
  expect(new Set(second.segments.map(({ key }) => key))).toEqual(new Set(['old', 'new']));
  expect(Object.keys(await contentsOf(rotated, second))).toEqual([`${canary}-name`, 'b']);
  for (const keys of [[], [fresh], [{ id: 'old', bytes: randomBytes(32) }, fresh]]) {
    const refused = await contentsOf(openStore(keys), second).then(String, (error: unknown) => error);
    expect(refused).toBeInstanceOf(Error);
  }
  await expect(contentsOf(openStore([fresh]), second)).rejects.toMatchObject({
    code: 'archive_unavailable',
    message: expect.stringContaining('key old'),
  });
  expect(Object.keys(await contentsOf(rotated, second))).toHaveLength(2);
});
