import { randomBytes } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { BrokenArchive } from '../../src/archives/files/archive-files.ts';
import type { ArchiveIdentity, ArchiveRecord } from '../../src/archives/record.ts';
import { ArchiveStore } from '../../src/archives/store.ts';
import type { SavedEntry } from '../../src/files/workspace-entry.ts';

const MIB = 2 ** 20;

export interface ArchiveForm {
  /** Opens the store, as the next process does when it is called again. */
  open(maxBytes: number): Promise<ArchiveStore>;
  /** Changes one byte of each of its files of contents where they are kept. */
  damage(): void;
  /** Number of files of contents and indexes. */
  count(): number;
}

export const identity = (name = 'session', more: Partial<ArchiveIdentity> = {}): ArchiveIdentity => ({
  id: ArchiveStore.newId(),
  kind: 'session',
  owner: 'alice',
  session_id: name,
  created_at: new Date(0).toISOString(),
  saved_at: new Date(1).toISOString(),
  at_rest: false,
  ...more,
});

/** Files by their contents; null for one that the archive has already. */
export async function* entries(
  files: Record<string, string | Buffer | null>,
  sizes: Record<string, number> = {},
): AsyncGenerator<SavedEntry, void, undefined> {
  for (const [path, content] of Object.entries(files)) {
    const size = content === null ? (sizes[path] ?? 0) : content.length;
    const entry = { path, type: 'file', size, mode: 0o644, modified_ms: 0, mark: `${path}.${size}` } as const;
    yield content === null ? { entry } : { entry, body: once(Buffer.from(content)) };
  }
}

async function* once(data: Buffer) {
  yield data;
}

/** Reads an archive in both ways, which find the same. */
export async function contentsOf(store: ArchiveStore, record: ArchiveRecord): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { entry, body } of store.read(record, { hardLinks: 'kept' })) found[entry.path] = await text(body);
  const verified: Record<string, string> = {};
  for await (const { entry, body } of store.readVerified(record, { packed: true }))
    verified[entry.path] = await text(body);
  expect(verified).toEqual(found);
  return found;
}

/** Tests what every form of storage does for archives. @param make a form without any archives */
export function testArchives(make: () => ArchiveForm): void {
  describe('an archive', () => {
    test('has what was written, also for the next process', async () => {
      const form = make();
      const store = await form.open(MIB);
      const record = await store.write(identity(), entries({ a: 'A', empty: '', b: 'B'.repeat(300_000) }));
      await store.verify(record);
      expect(record).toMatchObject({ entries: 3, bytes: 300_001 });
      const next = await form.open(MIB);
      expect(await next.records()).toEqual([record]);
      expect(await contentsOf(next, record)).toEqual({ a: 'A', empty: '', b: 'B'.repeat(300_000) });
    });

    test('of nothing is an archive', async () => {
      const store = await make().open(MIB);
      const record = await store.write(identity(), entries({}));
      await store.verify(record);
      expect(await contentsOf(store, record)).toEqual({});
    });

    test('of many parts is read from its middle', async () => {
      const store = await make().open(100 * MIB);
      const [one, two] = [randomBytes(11 * MIB), randomBytes(9 * MIB + 7)];
      const record = await store.write(identity(), entries({ one, two, three: 'three' }));
      await store.verify(record);
      const bodies: Record<string, Buffer> = {};
      for await (const { entry, body } of store.readVerified(record, { packed: true }))
        bodies[entry.path] = Buffer.concat(await Array.fromAsync(body));
      expect(bodies['one']?.equals(one) && bodies['two']?.equals(two)).toBe(true);
      const kept = await store.write(record, entries({ two: null }, { two: two.length }), { previous: record });
      for await (const { body } of store.read(kept, { hardLinks: 'kept' }))
        expect(Buffer.concat(await Array.fromAsync(body)).equals(two)).toBe(true);
    });

    test('takes only what is new from its next state, and drops what is in none', async () => {
      const form = make();
      const store = await form.open(MIB);
      const first = await store.write(identity(), entries({ a: 'aaa', gone: 'gone' }));
      expect(await store.marks(first)).toHaveLength(2);
      const second = await store.write(first, entries({ a: null, b: 'new' }, { a: 3 }), { previous: first });
      expect(await contentsOf(store, second)).toEqual({ a: 'aaa', b: 'new' });
      expect(form.count()).toBe(3);
      const third = await store.write(second, entries({ b: null }, { b: 3 }), { previous: second });
      expect(await contentsOf(store, third)).toEqual({ b: 'new' });
      expect(form.count()).toBe(2);
    });

    test('is as it was before when writing it fails, is cancelled, or finds no room', async () => {
      const form = make();
      const store = await form.open(20 * MIB);
      const record = await store.write(identity(), entries({ a: 'aaa' }));
      async function* failing() {
        yield* entries({ b: Buffer.alloc(17 * MIB) });
        throw new Error('cut off');
      }
      const options = { previous: record };
      await expect(store.write(record, failing(), options)).rejects.toThrow('cut off');
      const large = entries({ c: Buffer.alloc(20 * MIB) });
      await expect(store.write(record, large, options)).rejects.toMatchObject({ code: 'capacity_exceeded' });
      await expect(store.write(identity(), failing())).rejects.toThrow('cut off');
      const signal = AbortSignal.abort(new Error('cancelled'));
      await expect(store.write(record, entries({ d: 'd' }), { ...options, signal })).rejects.toThrow('cancelled');
      expect(form.count()).toBe(2);
      expect(await store.records()).toEqual([record]);
      expect(await contentsOf(store, record)).toEqual({ a: 'aaa' });
      await store.write(identity(), entries({ e: Buffer.alloc(17 * MIB) }));
    });

    test('frees its room when it is removed, and no copy goes with it', async () => {
      const form = make();
      const store = await form.open(2.5 * MIB);
      const record = await store.write(identity(), entries({ a: Buffer.alloc(MIB, 'a') }));
      const copy = await store.copy(record, identity('copy', { at_rest: true }));
      await expect(store.copy(record, identity('third'))).rejects.toMatchObject({ code: 'capacity_exceeded' });
      await store.remove(record);
      expect(await store.records()).toEqual([copy]);
      expect(form.count()).toBe(2);
      await store.verify(copy);
      expect((await contentsOf(store, copy))['a']).toHaveLength(MIB);
      await store.copy(copy, identity('third'));
    });

    test('is found by its kind and owner', async () => {
      const store = await make().open(MIB);
      const write = (more: Partial<ArchiveIdentity>) => store.write(identity('s', more), entries({ a: 'a' }));
      const [session, hers, his] = [
        await write({}),
        await write({ kind: 'snapshot' }),
        await write({ kind: 'snapshot', owner: 'bob' }),
      ];
      expect(await store.records({ kind: 'session' })).toEqual([session]);
      expect(await store.records({ kind: 'snapshot', owner: 'bob' })).toEqual([his]);
      expect(await store.records({ kind: 'snapshot' })).toEqual(expect.arrayContaining([hers, his]));
      expect(await store.records({ owner: 'carol' })).toEqual([]);
    });

    test('has the state that it is given, also for the next process', async () => {
      const form = make();
      const store = await form.open(MIB);
      const record = await store.write(identity(), entries({ a: 'aaa' }));
      const resting = store.update(record, { at_rest: true, lost: ['contexts'] });
      await resting.written;
      expect(await (await form.open(MIB)).records()).toEqual([{ ...record, at_rest: true, lost: ['contexts'] }]);
      await store.updateSoon(resting.record, { at_rest: false, lost: undefined }).written;
      await new Promise((resolve) => setImmediate(resolve));
      expect(await (await form.open(MIB)).records()).toEqual([record]);
    });

    test('with a byte changed is broken', async () => {
      const form = make();
      const store = await form.open(4 * MIB);
      const record = await store.write(identity(), entries({ a: 'a'.repeat(100_000) }));
      form.damage();
      await expect(store.verify(record)).rejects.toThrow(BrokenArchive);
      await expect(contentsOf(store, record)).rejects.toThrow(BrokenArchive);
    });
  });
}
