import { describe, expect, test } from 'vitest';
import { REPORT } from '../../test/support/report.ts';
import type { ExecutionEnd, ExecutionRequest, Losable } from '../execution/request.ts';
import { changedBy, UnsavedChanges } from './unsaved-changes.ts';

describe('changes', () => {
  test('are unsaved until they are saved', async () => {
    const changes = new UnsavedChanges();
    changes.add(['files']);
    expect(changes.any).toBe(true);
    await changes.save(async () => {});
    expect(changes.any).toBe(false);
    expect([...changes.lose()]).toEqual([]);
  });

  test('that come during a save are not in it', async () => {
    const changes = new UnsavedChanges();
    await changes.save(async () => changes.add(['packages']));
    expect([...changes.lose()]).toEqual(['packages']);
  });

  test('are unsaved as before when their save fails', async () => {
    const changes = new UnsavedChanges();
    changes.add(['files']);
    const saved = changes.save(async () => {
      changes.add(['packages']);
      throw new Error('full');
    });
    await expect(saved).rejects.toThrow('full');
    expect([...changes.lose()].sort()).toEqual(['files', 'packages']);
  });

  test('that are lost while they are being saved are no changes of the next sandbox', async () => {
    const changes = new UnsavedChanges();
    const lost: Losable[] = [];
    changes.add(['files']);
    const saved = changes.save(async () => {
      lost.push(...changes.lose());
      throw new Error('gone');
    });
    await expect(saved).rejects.toThrow('gone');
    expect(lost).toEqual(['files']);
    expect(changes.any).toBe(false);
  });
});

describe('an execution', () => {
  const end = (report?: ExecutionEnd['report']): ExecutionEnd => ({
    status: 'ok',
    exitCode: 0,
    ...(report ? { report } : {}),
  });

  test.each<[string, ExecutionRequest, ExecutionEnd, readonly Losable[]]>([
    ['code that says it changed nothing', { code: '1' }, end(REPORT), []],
    ['code that changed a file', { code: '1' }, end({ ...REPORT, files: [{ path: 'a', size: 1 }] }), ['files']],
    ['code that changed a file in /tmp', { code: '1' }, end({ ...REPORT, tmp_changed: true }), ['files']],
    ['code that ended without a report', { code: '1' }, end(), ['files']],
    ['an installation', { kind: 'install' }, end(REPORT), ['packages']],
    ['a list of packages', { kind: 'packages' }, end(), []],
    ['a look at a file', { kind: 'files', file: { op: 'read' } }, end(), []],
    ['an upload', { kind: 'files', file: { op: 'write' } }, end(REPORT), ['files']],
  ])('changes what it says, and what it may have where it says nothing: %s', (_what, request, ended, changed) => {
    expect(changedBy(request, ended)).toEqual(changed);
  });
});
