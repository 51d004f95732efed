import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { GloveboxError } from '../errors.ts';
import type { ExecutionOptions, ExecutionRequest } from '../execution/request.ts';
import { createLog } from '../log.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { Checkpoints } from './checkpoints.ts';
import type { ArchiveRecord } from './record.ts';
import type { ArchiveSettings } from './settings.ts';

const IDENTITY = { id: 'one', owner: 'alice', createdAt: new Date(), isBusy: false };
const HANG_MS = 30_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A session whose sandbox is behind an engine that hangs; counts the checkpoints that were begun. */
function openArchive() {
  const limits = { checkpointAfterS: 5, diskMb: 1 };
  const log = createLog('error');
  const archive = new Checkpoints(IDENTITY, { limits, log } as unknown as ArchiveSettings);
  const begun: number[] = [];
  const sandbox = {
    lost: false,
    execute: async () => {
      begun.push(Date.now());
      await new Promise((resolve) => setTimeout(resolve, HANG_MS));
      throw new GloveboxError('engine_unavailable', 'The container engine does not answer.');
    },
  };
  return { archive, sandbox: sandbox as unknown as Sandbox, begun };
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
  const sandbox = {
    lost: false,
    execute: async (_: ExecutionRequest, { signal, onOutput }: ExecutionOptions) => {
      await onOutput('stdout', Buffer.from(`${JSON.stringify({ ok: true, entries: 0, size: 0 })}\n`));
      await new Promise((resolve) => setTimeout(resolve, 1000));
      if (!signal.aborted)
        await onOutput('stdout', Buffer.from(`${JSON.stringify({ end: true, unreadable: 0, passing: 0 })}\n`));
      ends.push(signal.aborted ? 'by force' : 'by itself');
      return { status: signal.aborted ? 'cancelled' : 'ok', exitCode: 0 };
    },
  } as unknown as Sandbox;
  const limits = { checkpointAfterS: 5, diskMb: 1 };
  const archive = new Checkpoints(IDENTITY, {
    limits,
    store: {},
    log: createLog('error'),
  } as unknown as ArchiveSettings);
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(5000);
  expect(ends).toEqual(['by itself']);
  void archive.abandon();
});

test('a checkpoint that the end of its session breaks off is warned of as one that failed', async () => {
  const said: string[] = [];
  const log = { ...createLog('error'), warn: (message: string) => void said.push(message) };
  const sandbox = {
    lost: false,
    execute: (_: ExecutionRequest, { signal }: ExecutionOptions) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve({ status: 'cancelled', exitCode: null }));
      }),
  } as unknown as Sandbox;
  const limits = { checkpointAfterS: 5, diskMb: 1 };
  const archive = new Checkpoints(IDENTITY, { limits, store: {}, log } as unknown as ArchiveSettings);
  archive.watch(sandbox);
  await vi.advanceTimersByTimeAsync(5000);
  await archive.discard();
  await vi.advanceTimersByTimeAsync(0);
  expect(said).toEqual([]);
});

test('a session is back when its files are, before the program that brought them has ended', async () => {
  const record = { id: 'snp_1', at_rest: true };
  const store = {
    readVerified: async function* () {},
    updateSoon: () => {},
    get: () => ({ ...record, at_rest: false }),
  };
  const archives = { limits: { checkpointAfterS: 0, diskMb: 1 }, store, log: createLog('error') };
  const archive = new Checkpoints(IDENTITY, archives as unknown as ArchiveSettings, record as ArchiveRecord);
  const sandbox = {
    execute: async (_: ExecutionRequest, { onOutput, signal }: ExecutionOptions) => {
      await onOutput('stdout', Buffer.from('{"ok":true,"entries":0}\n'));
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  };
  expect(await archive.fill(sandbox as unknown as Sandbox)).toBeUndefined();
  expect(archive.record).toMatchObject({ at_rest: false });
});
