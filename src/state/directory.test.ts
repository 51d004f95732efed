import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DirectoryState } from './directory.ts';
import { Instance } from './instance.ts';
import { Manifests } from './manifests.ts';
import { ClaimLost, HoldLost, SessionExists } from './state.ts';

const [A, B] = ['a'.repeat(20), 'b'.repeat(20)];
const USED = { last_used_at: '2026-01-01T00:00:01.000Z', contexts: ['main'] };
const WHO = ['alice', 'work'] as const;

let stateDir: string;
const open = () => new DirectoryState(Instance.acquire(stateDir, 'test'), '1');
const folder = () => join(stateDir, 'instances', 'test');
const keys = () => new Manifests(folder()).readAll().map(({ key }) => key);

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'glovebox-state-'));
});
afterEach(() => rmSync(stateDir, { recursive: true }));

describe('a session of the directory', () => {
  it('is there for the next run, which claims it, if it has a sandbox', async () => {
    const created = new Date('2026-01-01T00:00:00.000Z');
    {
      await using state = open();
      await state.create(...WHO, { ...USED, key: A }, created);
      await state.create('alice', 'without');
    }
    await using state = open();
    const [found, ...others] = state.all();
    expect(others).toEqual([]);
    expect(found).toMatchObject({ owner: 'alice', id: 'work', createdAt: created, holder: undefined });
    expect(found?.saved).toEqual({ ...USED, key: A });
    if (!found) return;
    expect(state.holderOf(found)).toBeUndefined();
    expect(state.holderOf(await state.claim(found))).toEqual(state.self);
    await expect(state.claim(found)).rejects.toThrow(ClaimLost);
  });

  it('is written down when the call returns, before its promise resolves', async () => {
    await using state = open();
    const created = state.create(...WHO, { ...USED, key: A });
    expect(keys()).toEqual([A]);
    const saved = state.save(await created, { ...USED, key: B });
    expect(keys()).toEqual([B]);
    const removed = state.remove(await saved);
    expect(keys()).toEqual([]);
    await removed;
  });

  it('has its name for itself', async () => {
    await using state = open();
    await state.create(...WHO);
    await expect(state.create(...WHO)).rejects.toThrow(SessionExists);
    await state.create('bob', 'work');
  });

  it('leaves nothing of its sandbox once it has none', async () => {
    await using state = open();
    const session = await state.create(...WHO, { ...USED, key: A });
    await state.save(session, USED);
    expect(readdirSync(folder())).toEqual([]);
  });

  it('that was closed is not written down again', async () => {
    await using state = open();
    const session = await state.create(...WHO, { ...USED, key: A });
    await state.remove(session);
    await state.create(...WHO, { ...USED, key: B });
    await expect(state.save(session, { ...USED, key: A })).rejects.toThrow(HoldLost);
    expect(keys()).toEqual([B]);
  });

  it('of which a crash left two manifests goes on in the later sandbox', async () => {
    const manifest = { ...USED, session_id: 'work', owner: 'alice', created_at: '2026-01-01T00:00:00.000Z' };
    const manifests = new Manifests(folder());
    manifests.write({ ...manifest, key: A, woken_at: '2026-01-02T00:00:00.000Z' });
    manifests.write({ ...manifest, key: B, woken_at: '2026-01-01T00:00:00.000Z' });
    await using state = open();
    expect(state.all().map(({ saved }) => saved?.key)).toEqual([A]);
    expect(keys()).toEqual([A]);
  });
});
