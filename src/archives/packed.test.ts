import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { SavedEntry } from '../files/workspace-entry.ts';
import { BrokenArchive } from './files/archive-files.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import { ArchiveStore } from './store.ts';

const BLOCK = 256 * 1024;
let directory: string;
let store: ArchiveStore;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-packed-'));
  store = new ArchiveStore(new DirectoryFiles(directory), 2 ** 24);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const times = { created_at: new Date(0).toISOString(), saved_at: new Date(1).toISOString() };
const identity = () =>
  ({ id: ArchiveStore.newId(), kind: 'session', owner: 'a', session_id: 's', at_rest: false, ...times }) as const;

function pack(data: Buffer): Buffer {
  const blocks: Buffer[] = [];
  for (let at = 0; at < data.length; at += BLOCK) {
    const frame = zstdCompressSync(data.subarray(at, at + BLOCK));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(frame.length);
    blocks.push(length, frame);
  }
  return Buffer.concat(blocks);
}

async function* once(data: Buffer) {
  yield data;
}

const describeFile = (path: string, size: number) =>
  ({ path, type: 'file', size, mode: 0o644, modified_ms: 0, mark: `${path}.${size}` }) as const;

async function* packed(path: string, size: number, body: Buffer): AsyncGenerator<SavedEntry> {
  yield { entry: describeFile(path, size), body: once(body), packed: true };
}

const unpacked = async (record: Awaited<ReturnType<ArchiveStore['write']>>) => {
  const found: Record<string, Buffer> = {};
  for await (const { entry, body } of store.read(record, { hardLinks: 'copied' }))
    found[entry.path] = await buffer(body);
  return found;
};

const TEXT = Buffer.from('one line of many\n'.repeat(40_000));

test('contents that a sandbox has compressed are kept so, and unpacked for whoever needs them plain', async () => {
  const noise = randomBytes(BLOCK + 1);
  const record = await store.write(
    identity(),
    (async function* () {
      yield* packed('text', TEXT.length, pack(TEXT));
      yield* packed('noise', noise.length, pack(noise));
      yield { entry: describeFile('plain', 5), body: once(Buffer.from('plain')) };
    })(),
  );
  expect(record.bytes).toBe(TEXT.length + noise.length + 5);
  expect(record.segments[0]?.bytes).toBeLessThan(noise.length + 10_000);
  expect(await unpacked(record)).toEqual({ text: TEXT, noise, plain: Buffer.from('plain') });
  const sent: unknown[] = [];
  for await (const { entry, body, packed: bytes } of store.readVerified(record, { packed: true })) {
    const content = await buffer(body);
    sent.push([entry.path, bytes, bytes === undefined ? content : content.length]);
  }
  const [text, random] = [pack(TEXT).length, pack(noise).length];
  expect(sent).toEqual([
    ['text', text, text],
    ['noise', random, random],
    ['plain', undefined, Buffer.from('plain')],
  ]);
});

test('compressed contents stay where they are when the next state has them too', async () => {
  const first = await store.write(identity(), packed('text', TEXT.length, pack(TEXT)));
  const next = (async function* (): AsyncGenerator<SavedEntry> {
    yield { entry: describeFile('text', TEXT.length) };
    yield { entry: describeFile('new', 3), body: once(Buffer.from('new')) };
  })();
  const second = await store.write(first, next, { previous: first });
  expect(second.segments.map(({ number }) => number)).toEqual([1, 2]);
  expect(await unpacked(second)).toEqual({ text: TEXT, new: Buffer.from('new') });
});

const good = pack(TEXT);
test.each([
  ['end too early', TEXT.length, good.subarray(0, -1)],
  ['go on after the end', TEXT.length, Buffer.concat([good, Buffer.from('x')])],
  ['hold less than announced', TEXT.length + 1, good],
  ['hold more than announced', TEXT.length - 1, good],
  ['are no frames', TEXT.length, Buffer.concat([good.subarray(0, 4), Buffer.alloc(good.length - 4)])],
  ['announce a huge frame', TEXT.length, Buffer.concat([Buffer.alloc(4, 255), good.subarray(4)])],
  ['unpack to more than a block', 2 * BLOCK, packAsOne(Buffer.alloc(2 * BLOCK))],
])('compressed contents that %s are a broken archive', async (_, size, body) => {
  const record = await store.write(identity(), packed('text', size, body));
  await expect(unpacked(record)).rejects.toThrow(BrokenArchive);
});

/** Two blocks that are each too large. */
function packAsOne(data: Buffer): Buffer {
  const frame = zstdCompressSync(data);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(frame.length);
  return Buffer.concat([length, frame, length, frame]);
}
