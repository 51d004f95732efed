import { describe, expect, test } from 'vitest';
import { conditionsToChange, conditionsToRead, rangeCondition } from './preconditions.ts';

const read = (headers: Record<string, string>) => conditionsToRead(new Headers(headers));
const change = (headers: Record<string, string>) => conditionsToChange(new Headers(headers));
const DATE = 'Sun, 06 Nov 1994 08:49:37 GMT';

describe('conditions', () => {
  test.each<[Record<string, string>, object | undefined]>([
    [{}, undefined],
    [{ 'if-none-match': '"a", W/"b,c" ,, "d"' }, { none_match: ['a', 'b,c', 'd'] }],
    [{ 'if-none-match': '*' }, { none_match: '*' }],
    [{ 'if-match': '"a", W/"b"' }, { match: ['a'] }],
    [{ 'if-match': 'W/"b"' }, { match: [] }],
    [{ 'if-modified-since': DATE }, { modified_since: 784_111_777 }],
    [{ 'if-modified-since': 'Sunday, 06-Nov-94 08:49:37 GMT' }, { modified_since: 784_111_777 }],
    [{ 'if-modified-since': 'Sun Nov  6 08:49:37 1994' }, { modified_since: 784_111_777 }],
    [{ 'if-modified-since': 'yesterday' }, undefined],
    [{ 'if-modified-since': '784111777' }, undefined],
    [{ 'if-modified-since': DATE, 'if-none-match': '"a"' }, { none_match: ['a'] }],
    [{ 'if-unmodified-since': DATE, 'if-match': '"a"' }, { match: ['a'] }],
    [{ 'if-unmodified-since': DATE }, { unmodified_since: 784_111_777 }],
  ])('of %j are %j', (headers, conditions) => {
    expect(read(headers)).toEqual(conditions);
  });

  test('of a change know nothing of If-Modified-Since, which is for reading', () => {
    expect(change({ 'if-modified-since': DATE })).toBeUndefined();
  });

  test.each(['a', 'abc-1', '"a', '"a" "b', '', ' , ', "'a'"])('that cannot be read are refused: %j', (tags) => {
    expect(() => change({ 'if-match': tags })).toThrow('If-Match is neither * nor a list of entity tags');
    expect(() => change({ 'if-none-match': tags })).toThrow('If-None-Match');
  });

  test('of a range name the file by a strong tag or a date', () => {
    expect(rangeCondition(undefined)).toBeUndefined();
    expect(rangeCondition('"a"')).toEqual({ tag: 'a' });
    expect(rangeCondition(DATE)).toEqual({ modified: 784_111_777 });
    expect(rangeCondition('W/"a"')).toBe('none');
    expect(rangeCondition('a')).toBe('none');
  });
});
