import { expect, test } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import type { ArchiveRecord } from '../archives/record.ts';
import { serverStopping } from '../errors.ts';
import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, SandboxReset } from '../execution/request.ts';
import { createLog } from '../log.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import { Session, type SessionHost } from './session.ts';

const OPTIONS = { timeoutMs: 1000, signal: new AbortController().signal, onOutput: () => {} };
const RECORD = { id: 'snp_1', saved_at: '2026-11-23T08:00:00.000Z', at_rest: false } as ArchiveRecord;
const LIMITS = { concurrency: 4, idleTtlS: 60, maxLifetimeS: 60 };
const FINE: ExecutionEnd = { status: 'ok', exitCode: 0 };
const BACKGROUND = { background: { timeout_s: 10 } };

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

/**
 * A session whose executions end as told; those that lose their sandbox get another.
 * @param losses of processes, each known by the end of the execution in its place
 */
function openSession(
  ends: ExecutionEnd[],
  {
    record,
    losses = [],
    enter = async () => ({ [Symbol.dispose]() {} }),
  }: { record?: ArchiveRecord; losses?: (SandboxReset | undefined)[]; enter?: SessionHost['scheduler']['enter'] } = {},
) {
  const provide = async () => {
    const sandbox: Pick<Sandbox, 'onLoss'> & { lost: boolean } & Pick<Sandbox, 'execute'> = {
      lost: false,
      onLoss: undefined,
      execute: async ({ kind }: ExecutionRequest, { onOutput }: ExecutionOptions): Promise<ExecutionEnd> => {
        if (kind === 'archive') {
          await onOutput('stdout', Buffer.from('{"ok":true,"entries":0}\n'));
          return FINE;
        }
        const end = ends.shift() ?? FINE;
        sandbox.lost = end.reset?.lost.includes('files') ?? false;
        const loss = sandbox.lost ? undefined : losses.shift();
        if (loss) sandbox.onLoss?.(loss);
        return end;
      },
    };
    return { sandbox: sandbox as unknown as Sandbox, [Symbol.dispose]() {} };
  };
  let kept = record;
  const update = (_id: string, state: Partial<ArchiveRecord>) => {
    if (kept) kept = { ...kept, ...state };
  };
  const store = { update, updateSoon: update, get: () => kept, readVerified: async function* () {} };
  const host = {
    limits: LIMITS,
    archives: { limits: { checkpointAfterS: 0 }, store, expiryOf: () => new Date(), log: createLog('error') },
    owners: { enter: () => {}, leave: () => {}, write: () => {}, forgetFormer: () => {} },
    scheduler: { enter },
    metrics: { count: () => {} },
    provide,
    ...{ record: () => {}, recordsOf: () => ({}) },
  } as unknown as SessionHost;
  const session = new Session({ id: 'one', owner: 'alice', createdAt: new Date() }, host, { record });
  return (request: ExecutionRequest = {}, options = OPTIONS) => session.execute(request, options);
}

test('a call that the end of the server met before it began was told as cancelled', async () => {
  const stopping = new AbortController();
  const { promise: place, reject } = Promise.withResolvers<Disposable>();
  const waiting = openSession([], { enter: () => place })({}, { ...OPTIONS, signal: stopping.signal });
  stopping.abort(serverStopping());
  reject(stopping.signal.reason);
  await expect(waiting).rejects.toMatchObject({ code: 'engine_unavailable' });
});

test('a loss that a cancelled call met is told to the next caller', async () => {
  const execute = openSession([lose('cancelled')]);
  await execute();
  expect((await execute()).reset).toMatchObject({ reason: 'sandbox_lost', lost: ['files', 'packages', 'background'] });
  expect(await execute()).not.toHaveProperty('reset');
});

test('a second loss does not hide the first one, which nobody was told of', async () => {
  const execute = openSession([lose('crashed'), lose('crashed')], { record: RECORD });
  await execute(BACKGROUND);
  await execute(BACKGROUND);
  const { reset } = await execute();
  expect(reset?.lost).toContain('files');
  expect(reset).toMatchObject({ reason: 'sandbox_lost', restored_from: RECORD.saved_at });
});

test('a session that a stopping server lets go of is closed because its archive was broken off', async () => {
  const begun = Promise.withResolvers<void>();
  const sandbox = {
    lost: false,
    execute: (_: ExecutionRequest, { signal }: { signal: AbortSignal }) => {
      begun.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    },
    abandon: async () => {},
  } as unknown as Sandbox;
  const host = {
    limits: LIMITS,
    archives: { limits: { checkpointAfterS: 0, diskMb: 1 }, store: {}, log: createLog('error') },
    recordsOf: () => ({}),
  } as unknown as SessionHost;
  const session = new Session({ id: 'one', owner: 'alice', createdAt: new Date() }, host, { sandbox });
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
  const execute = openSession([end], { losses: [loss] });
  await execute(request);
  expect((await execute()).reset?.lost).toEqual(['background']);
  expect(await execute()).not.toHaveProperty('reset');
});

test('a loss of processes that one call tells is told again because others met it', async () => {
  const reset = { reason: 'would_not_end', lost: ['contexts', 'background'] } as const;
  const execute = openSession([clear('timeout'), clear('crashed'), clear('crashed')], { losses: [reset] });
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
  const execute = openSession(ends, { losses: [undefined, loss] });
  await execute({ context: 'c' });
  expect(await execute({ context: 'c' })).toMatchObject({ context: { created: true, alive: true }, reset: loss });
  expect(await execute({ context: 'c' })).not.toHaveProperty('reset');
});
