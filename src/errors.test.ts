import { describe, expect, test } from 'vitest';
import { GloveboxError, sayBegun, toGloveboxError } from './errors.ts';

const away = new GloveboxError('engine_unavailable', 'It is away.', { hint: 'Wait.', retryAfterS: 5 });
const moved = new GloveboxError('session_moved', 'It has moved.');
const saying = (error: unknown, begun: boolean) => toGloveboxError(sayBegun(error, begun));

describe('an error of a call that something cut short', () => {
  test('did not say whether the call had begun', () => {
    expect(saying(away, false).toBody()).toEqual({
      ...{ code: 'engine_unavailable', message: 'It is away.', retry_after_s: 5, begun: false },
      hint: 'Wait. Nothing of the call was begun.',
    });
    expect(saying(away, true).toRestBody()).toMatchObject({
      ...{ begun: true, hint: 'Wait. The call had begun: look what it did before you call again.' },
    });
    expect(saying(moved, false).hint).toBe('Nothing of the call was begun. Call again.');
    expect(saying(moved, true).hint).toBe(moved.hint);
    expect([away.begun, 'begun' in away.toBody()]).toEqual([undefined, false]);
  });

  test('says that it had begun if any part of it had', () => {
    const later = saying(saying(away, false), true);
    expect([later.begun, later.hint]).toEqual([true, saying(away, true).hint]);
    expect(saying(later, false).begun).toBe(true);
  });
});

test('an error whose code tells that nothing was begun stays as it is', () => {
  const refused = new GloveboxError('capacity_exceeded', 'It is full.');
  const defect = new Error('defect');
  expect([sayBegun(refused, false), sayBegun(defect, true)]).toEqual([refused, defect]);
});
