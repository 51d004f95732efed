import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeSandbox } from '../../test/support/fake-sandbox.ts';
import { REPORT } from '../../test/support/report.ts';
import { SESSION_LIMITS } from '../../test/support/session-limits.ts';
import { DirectoryFiles } from '../archives/files/directory-files.ts';
import type { ArchiveIdentity } from '../archives/record.ts';
import { ArchiveSettings } from '../archives/settings.ts';
import { serverStopping } from '../errors.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, SandboxReset } from '../execution/request.ts';
import { createLog } from '../log.ts';
import { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import { MemoryQuota } from '../scheduling/memory-quota.ts';
import { DirectoryState } from '../state/directory.ts';
import { Instance } from '../state/instance.ts';
import { BackgroundRecords } from './background-records.ts';
import { RecentExecutions } from './recent-executions.ts';
import { SandboxOwners } from './sandbox-owners.ts';
import { Session } from './session.ts';
import type { SessionHost } from './session-host.ts';

const OPTIONS = { timeoutMs: 1000, signal: new AbortController().signal, onOutput: () => {} };
const IDENTITY = { id: 'one', owner: 'alice', createdAt: new Date() };
const SAVED_AT = '2026-11-23T08:00:00.000Z';
const CHECKPOINT: ArchiveIdentity = {
  ...{ id: `snp_${'0'.repeat(24)}`, kind: 'session', owner: IDENTITY.owner, session_id: IDENTITY.id },
  ...{ created_at: SAVED_AT, saved_at: SAVED_AT, at_rest: false },
};
const FINE: ExecutionEnd = { status: 'ok', exitCode: 0 };
const BACKGROUND = { background: { timeout_s: 10 } };

let directory: string;
let state: DirectoryState;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'glovebox-session-'));
  state = new DirectoryState(Instance.acquire(directory, 'test'), '1');
});
afterEach(async () => {
  // What a record is to say is written after what is under way.
  await new Promise((resolve) => setImmediate(resolve));
  await state[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

/** Ends as told with its sandbox gone. */
const lose = (status: ExecutionEnd['status']): ExecutionEnd => ({
  status,
  exitCode: null,
  reset: { reason: 'would_not_end', lost: ['files', 'contexts', 'packages', 'background'] },
});

/** Ends as told with all processes of its sandbox, which lives on. */
const clear = (status: ExecutionEnd['status']): ExecutionEnd => ({
  status,
  exitCode: null,
  termination: 'uid_kill',
  reset: { reason: 'would_not_end', lost: ['contexts', 'background'] },
});

/** A sandbox whose executions end as told. */
class ToldSandbox extends FakeSandbox {
  readonly #ends: ExecutionEnd[];
  readonly #losses: (SandboxReset | undefined)[];

  /** @param losses of processes, each known by the end of the execution in its place */
  constructor(ends: ExecutionEnd[], losses: (SandboxReset | undefined)[]) {
    super(1);
    this.#ends = ends;
    this.#losses = losses;
  }

  override async execute(request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
    if (request.kind === 'archive') return await super.execute(request, options);
    this.ends.push(...this.#ends.splice(0, 1));
    const end = await super.execute(request, options);
    const loss = this.lost ? undefined : this.#losses.shift();
    if (loss) this.onLoss?.(loss);
    return end;
  }
}

/** What a session needs, of which the sandboxes alone are not real. */
function openHost(provide: () => FakeSandbox, enter: SessionHost['scheduler']['enter'] = noTurn): SessionHost {
  const memory = new MemoryQuota(SESSION_LIMITS);
  return {
    limits: SESSION_LIMITS,
    parseRequirement: (text) => ({ name: text, text }),
    archives: new ArchiveSettings(new DirectoryFiles(join(directory, 'archives')), SESSION_LIMITS, createLog('error')),
    owners: new SandboxOwners({ state: () => state, memory, log: createLog('error') }),
    scheduler: { enter },
    metrics: new ExecutionMetrics(),
    recent: new RecentExecutions(),
    provide: async (owner) => {
      memory.claim(owner, 'new');
      return { sandbox: provide(), [Symbol.dispose]() {} };
    },
    recordsOf: ({ owner, id }) => new BackgroundRecords(directory, owner, id),
    record: () => {},
  };
}

async function noTurn(): Promise<Disposable> {
  return { [Symbol.dispose]() {} };
}

/** Of a session whose executions end as told, what runs one; those that lose their sandbox get another. */
async function openSession(
  ends: ExecutionEnd[],
  {
    hasCheckpoint = false,
    losses = [],
    enter,
  }: {
    hasCheckpoint?: boolean;
    losses?: (SandboxReset | undefined)[];
    enter?: SessionHost['scheduler']['enter'];
  } = {},
) {
  const host = openHost(() => new ToldSandbox(ends, losses), enter);
  const record = hasCheckpoint ? await host.archives.store.write(CHECKPOINT, noEntries()) : undefined;
  const session = new Session(IDENTITY, host, { record });
  return (request: ExecutionRequest = {}, options = OPTIONS) => session.execute(request, options);
}

async function* noEntries() {}

test('a call that the end of the server met before it began was told as cancelled', async () => {
  const stopping = new AbortController();
  const { promise: place, reject } = Promise.withResolvers<Disposable>();
  const execute = await openSession([], { enter: () => place });
  const waiting = execute({}, { ...OPTIONS, signal: stopping.signal });
  stopping.abort(serverStopping());
  reject(stopping.signal.reason);
  await expect(waiting).rejects.toMatchObject({ code: 'engine_unavailable' });
});

test('a loss that a cancelled call met is told to the next caller', async () => {
  const execute = await openSession([lose('cancelled')]);
  await execute();
  expect((await execute()).reset).toMatchObject({ reason: 'sandbox_lost', lost: ['files', 'packages', 'background'] });
  expect(await execute()).not.toHaveProperty('reset');
});

test('a second loss does not hide the first one, which nobody was told of', async () => {
  const execute = await openSession([lose('crashed'), lose('crashed')], { hasCheckpoint: true });
  await execute(BACKGROUND);
  await execute(BACKGROUND);
  const { reset } = await execute();
  expect(reset?.lost).toContain('files');
  expect(reset).toMatchObject({ reason: 'sandbox_lost', restoredFrom: SAVED_AT });
});

test('a session that a stopping server lets go of is closed because its archive was broken off', async () => {
  const begun = Promise.withResolvers<void>();
  const sandbox = new FakeSandbox(1);
  sandbox.execute = (_, { signal }) => {
    begun.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  const session = new Session(
    IDENTITY,
    openHost(() => sandbox),
    { sandbox: { handle: sandbox, adopt: async () => {} } },
  );
  const hibernated = session.hibernate({ force: true });
  await begun.promise;
  await session.abandon();
  expect(await hibernated).toBe('used');
});

test.each<[string, ExecutionRequest, ExecutionEnd]>([
  ['a call that was cancelled and would not end', {}, clear('cancelled')],
  ['a file operation that met it', { kind: 'files' }, clear('crashed')],
  ['a file operation after it', { kind: 'files' }, FINE],
  ['the end of a context after it', { code: '', end_context: 'c' }, FINE],
  ['a background execution that met it', BACKGROUND, clear('timeout')],
  ['a background execution after it', BACKGROUND, FINE],
])('a loss of processes is told to nobody but %s', async (_what, request, end) => {
  const loss = { reason: 'runner_lost', lost: ['contexts', 'background'] } as const;
  const execute = await openSession([end], { losses: [loss] });
  await execute(request);
  expect((await execute()).reset?.lost).toEqual(['background']);
  expect(await execute()).not.toHaveProperty('reset');
});

test('a loss of processes that one call tells is told again because others met it', async () => {
  const reset = { reason: 'would_not_end', lost: ['contexts', 'background'] } as const;
  const execute = await openSession([clear('timeout'), clear('crashed'), clear('crashed')], { losses: [reset] });
  expect(await execute()).toHaveProperty('reset');
  await execute(BACKGROUND);
  await execute({ kind: 'files' });
  expect(await execute()).not.toHaveProperty('reset');
});

test('a context that began anew after a loss is told to be lost', async () => {
  const report = { ...REPORT, context_created: true, context_alive: true };
  const later = { ...report, context_created: false };
  const ends = [report, report, later].map((each): ExecutionEnd => ({ ...FINE, report: each }));
  const loss = { reason: 'runner_lost', lost: ['contexts', 'background'] } as const;
  const execute = await openSession(ends, { losses: [undefined, loss] });
  await execute({ context: 'c' });
  expect(await execute({ context: 'c' })).toMatchObject({ context: { created: true, alive: true }, reset: loss });
  expect(await execute({ context: 'c' })).not.toHaveProperty('reset');
});

test('a context was told to be lost that was made after the loss, of which a background execution heard late', async () => {
  const report = { ...REPORT, context_created: true, context_alive: true };
  const loss = { reason: 'runner_lost', lost: ['contexts', 'background'] } as const;
  const ends: ExecutionEnd[] = [
    { ...FINE, report },
    { ...FINE, report },
    { status: 'crashed', exitCode: null, reset: loss },
    { ...FINE, report: { ...report, context_created: false } },
  ];
  const execute = await openSession(ends, { losses: [undefined, loss] });
  await execute({ context: 'c' });
  expect(await execute({ context: 'c' })).toMatchObject({ context: { created: true, alive: true }, reset: loss });
  await execute(BACKGROUND);
  expect(await execute({ context: 'c' })).not.toHaveProperty('reset');
});

test('a context was told to be lost that was made after the loss, of which another call heard late', async () => {
  const loss = { reason: 'runner_lost', lost: ['contexts', 'background'] } as const;
  const report = { ...REPORT, context_created: true, context_alive: true };
  const sandbox = new FakeSandbox(1);
  const ends = new Map<string | undefined, PromiseWithResolvers<ExecutionEnd>>();
  sandbox.execute = ({ context }) => {
    const end = Promise.withResolvers<ExecutionEnd>();
    ends.set(context, end);
    return end.promise;
  };
  const session = new Session(
    IDENTITY,
    openHost(() => sandbox),
  );
  const begin = async (request: ExecutionRequest) => {
    const ending = session.execute(request, OPTIONS);
    await vi.waitUntil(() => ends.has(request.context));
    const end = ends.get(request.context);
    ends.delete(request.context);
    return { ending, finish: (found: ExecutionEnd) => end?.resolve(found) };
  };
  const first = await begin({ context: 'c' });
  first.finish({ ...FINE, report });
  await first.ending;
  const late = await begin({});
  sandbox.onLoss?.(loss);
  const anew = await begin({ context: 'c' });
  anew.finish({ ...FINE, report });
  expect(await anew.ending).toMatchObject({ context: { created: true, alive: true }, reset: loss });
  late.finish({ status: 'crashed', exitCode: null, reset: loss });
  expect((await late.ending).reset).toEqual({ reason: 'runner_lost', lost: ['background'] });
  const last = await begin({ context: 'c' });
  last.finish({ ...FINE, report: { ...report, context_created: false } });
  expect(await last.ending).not.toHaveProperty('reset');
});

describe('the start of a background execution', () => {
  test('was answered before its request was on its way, so that a kill of the server lost it', async () => {
    const order: string[] = [];
    const sandbox = new FakeSandbox(1);
    const reached = Promise.withResolvers<void>();
    sandbox.execute = async (_, { onSent }) => {
      await reached.promise;
      order.push('sent');
      onSent?.();
      return await new Promise(() => {});
    };
    const host = openHost(() => sandbox);
    const started = new Session(IDENTITY, host).start('endless').then(() => order.push('answered'));
    reached.resolve();
    await started;
    expect(order).toEqual(['sent', 'answered']);
  });

  test('is answered while it waits for its turn', async () => {
    const enter: SessionHost['scheduler']['enter'] = (_owner, _request, options) => {
      options?.onWait?.(1);
      return new Promise(() => {});
    };
    const host = openHost(() => new FakeSandbox(1), enter);
    expect(await new Session(IDENTITY, host).start('later')).toMatchObject({ status: 'queued' });
  });
});
