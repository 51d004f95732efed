import { describe, expect, test } from 'vitest';
import type { SavedSession } from '../../state/state.ts';
import { isDue } from './orphans.ts';

const LIMITS = { idleTtlS: 600, hibernateAfterS: 60, archiveTtlS: 3600 };
const AWAKE = { key: 'a'.repeat(20), ref: 'pod' };
const ARCHIVED = { archive: `snp_${'0'.repeat(24)}`, at_rest: true };

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();
const isOver = (saved: SavedSession, limits = LIMITS) =>
  isDue({ owner: 'alice', id: 'work', createdAt: new Date(), generation: 1, holder: undefined, saved }, limits);

describe('a session that nobody holds is taken over', () => {
  test.each<[string, SavedSession, boolean]>([
    ['not while it would not hibernate yet', { ...AWAKE, last_used_at: ago(50) }, false],
    ['to hibernate', { ...AWAKE, last_used_at: ago(70) }, true],
    ['not while it would lose contexts', { ...AWAKE, contexts: ['c'], last_used_at: ago(70) }, false],
    ['with its contexts once its idle time is over', { ...AWAKE, contexts: ['c'], last_used_at: ago(610) }, true],
    ['not while something may run', { ...AWAKE, last_used_at: ago(700), busy_until: ago(0) }, false],
    ['not while its archive is kept', { ...ARCHIVED, last_used_at: ago(3000) }, false],
    ['to remove its archive', { ...ARCHIVED, last_used_at: ago(3700) }, true],
    ['to end it if it has nothing', { last_used_at: ago(610) }, true],
  ])('%s', (_what, saved, expected) => expect(isOver(saved)).toBe(expected));

  test('not before its idle time is over where nothing hibernates', () => {
    expect(isOver({ ...AWAKE, last_used_at: ago(70) }, { ...LIMITS, hibernateAfterS: 0 })).toBe(false);
  });
});
