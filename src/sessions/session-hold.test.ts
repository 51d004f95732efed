import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectoryState } from '../state/directory.ts';
import { Instance } from '../state/instance.ts';
import { HoldLost, type SavedSession } from '../state/state.ts';
import { SessionHold } from './session-hold.ts';

const savedAt = (second: number): SavedSession => ({ last_used_at: `2026-01-01T00:00:0${second}.000Z` });

/** State whose writes end only when told to. */
class SlowState extends DirectoryState {
  readonly written: string[] = [];
  gate: Promise<unknown> = Promise.resolve();

  override async save(...[session, saved]: Parameters<DirectoryState['save']>) {
    this.written.push(saved.last_used_at);
    await this.gate;
    return await super.save(session, saved);
  }
}

let directory: string;
let state: SlowState;
let second: number;
let losses: number;
let hold: SessionHold;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-hold-'));
  state = new SlowState(Instance.acquire(directory, 'test'), '1');
  [second, losses] = [0, 0];
  const describe = () => savedAt(second);
  const onLost = () => {
    losses += 1;
  };
  hold = new SessionHold(await state.create('alice', 'work'), { state, describe, onLost });
});
afterEach(async () => {
  await state[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

test('of many changes during one write, the last is written, and once', async () => {
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const writes = [1, 2, 3].map((now) => {
    second = now;
    return hold.write();
  });
  gate.resolve();
  await Promise.all(writes);
  expect(state.written).toEqual([savedAt(1), savedAt(3)].map((saved) => saved.last_used_at));
  expect(state.find('alice', 'work')?.saved).toEqual(savedAt(3));
});

test('the removal of a session during a write builds on what that wrote', async () => {
  const gate = Promise.withResolvers<void>();
  state.gate = gate.promise;
  const written = hold.write();
  const removed = hold.remove();
  gate.resolve();
  await Promise.all([written, removed]);
  expect(state.all()).toEqual([]);
});

test('a hold that is lost is told once, and writes no more', async () => {
  await state.remove(hold.shared);
  await expect(hold.write()).rejects.toThrow(HoldLost);
  await hold.write();
  expect([losses, state.written.length, hold.isValid]).toEqual([1, 1, false]);
  expect(() => hold.require()).toThrow(HoldLost);
});

test('code that was running when its session was closed was told that another server had the session', async () => {
  await hold.remove();
  expect(() => hold.require()).not.toThrow();
  await hold.remove();
});

test('a session that was left to another control plane is no longer held', async () => {
  await hold.release(savedAt(1));
  expect(() => hold.require()).toThrow(HoldLost);
});
