import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { GloveboxError } from '../errors.ts';
import type { ExecutionEnd } from '../execution/request.ts';
import { keepAsIs } from '../lib/reused-memory.ts';
import { createLog, type Log } from '../log.ts';
import { Checkpoints } from './checkpoints.ts';
import { DirectoryFiles } from './files/directory-files.ts';
import type { RunningSandbox } from './kept-session.ts';
import { ArchiveSettings } from './settings.ts';

const IDENTITY = { id: 'one', owner: 'alice', createdAt: new Date(), isBusy: false };
const HANG_MS = 30_000;

let directory: string;

beforeEach(() => {
  vi.useFakeTimers();
  directory = mkdtempSync(join(tmpdir(), 'glovebox-checkpoints-'));
});
afterEach(async () => {
  vi.useRealTimers();
  // What a record is to say is written after what is under way.
  await new Promise((resolve) => setImmediate(resolve));
  rmSync(directory, { recursive: true });
});

function openSettings(checkpointAfterS: number, log: Log = createLog('error')): ArchiveSettings {
  const limits = { diskMb: 1, archiveMb: 1, idleTtlS: 60, hibernateAfterS: 30, archiveTtlS: 60, checkpointAfterS };
  return new ArchiveSettings(new DirectoryFiles(join(directory, 'archives')), limits, log);
}

/** A session whose sandbox is behind an engine that hangs; counts the checkpoints that were begun. */
function openArchive() {
  const archive = new Checkpoints(IDENTITY, openSettings(5));
  const begun: number[] = [];
  const sandbox: RunningSandbox = {
    lost: false,
    unpacks: async () => true,
    execute: async () => {
      begun.push(Date.now());
      await new Promise((resolve) => setTimeout(resolve, HANG_MS));
      throw new GloveboxError('engine_unavailable', 'The container engine does not answer.');
    },
  };
  return { archive, sandbox, begun };
}

test('a checkpoint that an engine held up is not followed by minutes without any', async () => {
  const { archive, sandbox, begun } = openArchive();
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(2500 + HANG_MS);
  expect(begun).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(31_000);
  expect(begun).toHaveLength(2);
  void archive.abandon();
});

test('the sandbox after one that was lost does not wait for what held that up', async () => {
  const { archive, sandbox, begun } = openArchive();
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(2500 + HANG_MS);
  archive.loseSandbox(['files']);
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(2500);
  expect(begun).toHaveLength(2);
  void archive.abandon();
});

test('a checkpoint of nothing is ended by force', async () => {
  const ends: string[] = [];
  const sandbox: RunningSandbox = {
    lost: false,
    unpacks: async () => true,
    execute: async (_, { signal, onOutput }): Promise<ExecutionEnd> => {
      await onOutput('stdout', Buffer.from(`${JSON.stringify({ ok: true, entries: 0, size: 0 })}\n`), keepAsIs);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      if (!signal.aborted)
        await onOutput(
          'stdout',
          Buffer.from(`${JSON.stringify({ end: true, unreadable: 0, passing: 0 })}\n`),
          keepAsIs,
        );
      ends.push(signal.aborted ? 'by force' : 'by itself');
      return { status: signal.aborted ? 'cancelled' : 'ok', exitCode: 0 };
    },
  };
  const archive = new Checkpoints(IDENTITY, openSettings(5));
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(5000);
  expect(ends).toEqual(['by itself']);
  void archive.abandon();
});

test('a checkpoint that the end of its session breaks off is warned of as one that failed', async () => {
  const said: string[] = [];
  const log = { ...createLog('error'), warn: (message: string) => void said.push(message) };
  const sandbox: RunningSandbox = {
    lost: false,
    unpacks: async () => true,
    execute: (_, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve({ status: 'cancelled', exitCode: null }));
      }),
  };
  const archive = new Checkpoints(IDENTITY, openSettings(5, log));
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(5000);
  await archive.discard();
  await vi.advanceTimersByTimeAsync(0);
  expect(said).toEqual([]);
});

test('a save that takes too long is told as that, and not as a lost sandbox', async () => {
  vi.useRealTimers();
  const settings = openSettings(0);
  vi.spyOn(settings, 'saveLimitMs', 'get').mockReturnValue(20);
  const sandbox: RunningSandbox = {
    lost: false,
    unpacks: async () => true,
    execute: async (_, { onOutput, signal }): Promise<ExecutionEnd> => {
      await onOutput('stdout', Buffer.from(`${JSON.stringify({ ok: true, entries: 1, size: 1 })}\n`), keepAsIs);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return { status: 'cancelled', exitCode: null };
    },
  };
  await expect(new Checkpoints(IDENTITY, settings).saveWhole(sandbox)).rejects.toMatchObject({
    code: 'archive_unavailable',
    message: 'The files were not saved within 0 s.',
  });
});

test('a session is back when its files are, before the program that brought them has ended', async () => {
  const settings = openSettings(0);
  const now = new Date().toISOString();
  const identity = { id: `snp_${'0'.repeat(24)}`, kind: 'session', owner: 'alice', session_id: 'one' } as const;
  const times = { created_at: now, saved_at: now, at_rest: true };
  const record = await settings.store.write({ ...identity, ...times }, (async function* () {})());
  const archive = new Checkpoints(IDENTITY, settings, record);
  const sandbox: RunningSandbox = {
    lost: false,
    unpacks: async () => true,
    execute: async (_, { onOutput, signal }): Promise<ExecutionEnd> => {
      await onOutput('stdout', Buffer.from('{"ok":true,"entries":0}\n'), keepAsIs);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return { status: 'cancelled', exitCode: null };
    },
  };
  expect(await archive.fill(sandbox)).toBeUndefined();
  expect(archive.record).toMatchObject({ at_rest: false });
});

test.each([
  [{}, true],
  [{ passing: true }, false],
])('contents of a copy are packed unless it is only passed on: %j', async (lifetime, pack) => {
  const asked: unknown[] = [];
  const sandbox: RunningSandbox = {
    lost: false,
    unpacks: async () => true,
    execute: async ({ file }): Promise<ExecutionEnd> => {
      asked.push(file);
      throw new GloveboxError('engine_unavailable', 'The container engine does not answer.');
    },
  };
  const now = new Date().toISOString();
  const identity = { id: `snp_${'0'.repeat(24)}`, kind: 'snapshot', owner: 'alice', session_id: 'one' } as const;
  const times = { created_at: now, saved_at: now, at_rest: true };
  const copied = new Checkpoints(IDENTITY, openSettings(0)).copyTo(
    { ...identity, ...times, ...lifetime },
    sandbox,
    new AbortController().signal,
  );
  await expect(copied).rejects.toThrow('does not answer');
  expect(asked).toEqual([expect.objectContaining({ op: 'save', pack })]);
});
