import { describe, expect, test } from 'vitest';
import { isHeard, LossLedger, ownLoss } from './losses.ts';
import type { ExecutionEnd, ExecutionRequest, SandboxReset } from './request.ts';

const PROCESSES: SandboxReset = { reason: 'runner_lost', lost: ['contexts', 'background'] };
const ALL: SandboxReset = { reason: 'sandbox_lost', lost: ['files', 'contexts', 'packages', 'background'] };
const CONTEXT: SandboxReset = { reason: 'context_ended', lost: ['contexts'] };
const [EARLIER, LATER] = ['2026-11-23T08:00:00.000Z', '2026-11-23T09:00:00.000Z'] as const;

const HEARD = { isHeard: true, keepIfUnheard: false };
const UNHEARD = { isHeard: false, keepIfUnheard: false };

function ledgerWith(...losses: SandboxReset[]): LossLedger {
  const ledger = new LossLedger();
  for (const loss of losses) ledger.add(loss);
  return ledger;
}

describe('a loss', () => {
  test('is told by every end until one is surely heard, and by none after that', () => {
    const ledger = ledgerWith(ALL);
    expect(ledger.tell(undefined, UNHEARD)).toEqual(ALL);
    expect(ledger.tell(undefined, HEARD)).toEqual(ALL);
    expect(ledger.tell(undefined, HEARD)).toBeUndefined();
    expect(ledger.pending).toBeUndefined();
  });

  test('that a cancelled call met itself stays pending, where it is the first to tell it', () => {
    const ledger = new LossLedger();
    expect(ledger.tell(PROCESSES, { isHeard: false, keepIfUnheard: true })).toEqual(PROCESSES);
    expect(ledger.pending).toEqual(PROCESSES);
    expect(ledger.tell(undefined, HEARD)).toEqual(PROCESSES);
  });

  test('that others told first is no news in the end of a call that nobody hears', () => {
    const ledger = new LossLedger();
    ledger.tell(PROCESSES, { isHeard: true, keepIfUnheard: true });
    expect(ledger.tell(PROCESSES, UNHEARD)).toEqual(PROCESSES);
    expect(ledger.pending).toBeUndefined();
  });

  test('of one context is told only where nothing else is', () => {
    const ledger = ledgerWith(ALL);
    expect(ledger.tell(CONTEXT, HEARD)).toEqual(ALL);
    expect(ledger.tell(CONTEXT, HEARD)).toEqual(CONTEXT);
    expect(ledger.pending).toBeUndefined();
  });

  test('of a context is told beside one that does not say so, and lets it say why', () => {
    const terminals: SandboxReset = { reason: 'server_stopped', lost: ['terminals'] };
    const told = { reason: 'server_stopped', lost: ['contexts', 'terminals'] };
    expect(ledgerWith(terminals).tell(CONTEXT, HEARD)).toEqual(told);
  });

  test('is added once, however many find out', () => {
    const ledger = new LossLedger();
    const sandbox = {};
    expect(ledger.addOnce(sandbox, () => ALL)).toBe(ALL);
    ledger.tell(undefined, HEARD);
    const again = ledger.addOnce(sandbox, () => {
      throw new Error('asked twice');
    });
    expect(again).toBe(ALL);
    expect(ledger.pending).toBeUndefined();
  });
});

describe('two losses', () => {
  test('are told as one, with all that is gone in the order of results', () => {
    const packages: SandboxReset = { reason: 'hibernated', lost: ['packages'] };
    expect(ledgerWith(PROCESSES, packages).pending).toEqual({
      reason: 'hibernated',
      lost: ['contexts', 'packages', 'background'],
    });
  });

  test('have the reason of the later one, unless only the earlier one lost files', () => {
    expect(ledgerWith(PROCESSES, ALL).pending?.reason).toBe('sandbox_lost');
    expect(ledgerWith(ALL, PROCESSES).pending?.reason).toBe('sandbox_lost');
    expect(ledgerWith(ALL, { ...ALL, reason: 'would_not_end' }).pending?.reason).toBe('would_not_end');
  });

  test('with files restored are told with the earlier of the times that these are from', () => {
    const [first, second] = [LATER, EARLIER].map((restoredFrom): SandboxReset => ({ ...ALL, restoredFrom }));
    expect(ledgerWith(first as SandboxReset, second as SandboxReset).pending?.restoredFrom).toBe(EARLIER);
    expect(ledgerWith(first as SandboxReset, PROCESSES).pending?.restoredFrom).toBe(LATER);
  });

  test('of which the execution met the second itself are told in its end', () => {
    expect(ledgerWith(ALL).tell(PROCESSES, HEARD)).toEqual(ALL);
  });
});

describe('processes that ended', () => {
  test('are settled by one end, together', () => {
    const ledger = new LossLedger();
    ledger.addProcesses(PROCESSES);
    ledger.addProcesses({ ...PROCESSES, reason: 'would_not_end' });
    expect(ledger.pending).toBeUndefined();
    expect(ledger.takeProcesses()).toEqual({ ...PROCESSES, reason: 'would_not_end' });
    expect(ledger.takeProcesses()).toBeUndefined();
  });
});

describe('what does not come back of an archive', () => {
  const restored: SandboxReset = { reason: 'sandbox_lost', lost: ['contexts'], restoredFrom: EARLIER };

  test('is told where nothing is pending, with the time that files are from', () => {
    const ledger = new LossLedger();
    ledger.addMissingFromArchive(restored);
    expect(ledger.pending).toEqual(restored);
  });

  test('is part of the loss that is pending already', () => {
    const ledger = ledgerWith({ ...restored, reason: 'runner_incompatible' });
    ledger.addMissingFromArchive(restored);
    expect(ledger.pending).toEqual({ ...restored, reason: 'runner_incompatible' });
  });

  test('of a broken one is all that is told', () => {
    const broken: SandboxReset = { reason: 'archive_broken', lost: ['files', 'packages'] };
    const ledger = ledgerWith(restored);
    ledger.addMissingFromArchive(broken);
    expect(ledger.pending).toEqual(broken);
  });
});

test('an execution that ended with its sandbox tells what does not come back, and what it changed itself', () => {
  const own: SandboxReset = { ...ALL, reason: 'would_not_end' };
  const gone: SandboxReset = { reason: 'sandbox_lost', lost: ['contexts', 'background'], restoredFrom: EARLIER };
  const told = { reason: 'would_not_end', restoredFrom: EARLIER };
  expect(ownLoss(own, gone, [])).toEqual({ ...told, lost: ['contexts', 'background'] });
  expect(ownLoss(own, gone, ['files'])).toEqual({ ...told, lost: ['files', 'contexts', 'background'] });
});

describe('the end of an execution', () => {
  const ended = (status: ExecutionEnd['status']): ExecutionEnd => ({ status, exitCode: null });

  test.each<[string, ExecutionRequest, boolean]>([
    ['code', { code: '1' }, true],
    ['code in a context that began anew', { code: '1', context: 'c', end_context: 'c' }, true],
    ['the end of a context', { code: '', end_context: 'c' }, false],
    ['a list of packages', { kind: 'packages' }, true],
    ['an installation', { kind: 'install' }, true],
    ['a file operation', { kind: 'files' }, false],
    ['a background execution', { code: '1', background: { timeout_s: 1 } }, false],
  ])('is surely heard or not: %s', (_what, request, heard) => {
    expect(isHeard(request, ended('ok'))).toBe(heard);
    expect(isHeard(request, ended('timeout'))).toBe(heard);
    expect(isHeard(request, ended('cancelled'))).toBe(false);
  });
});
