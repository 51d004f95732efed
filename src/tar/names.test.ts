import { describe, expect, test } from 'vitest';
import { decodeName, encodeName, spellName } from './names.ts';

describe('a name that is not UTF-8 has a spelling', () => {
  test.each<[string, number[], string]>([
    ['Chinese in GBK', [0xcf, 0xfa, 0x2e, 0x74], '\\xcf\\xfa.t'],
    ['Latin-1', [0x63, 0x61, 0x66, 0xe9], 'caf\\xe9'],
    ['a broken character', [0xe2, 0x82, 0x61], '\\xe2\\x82a'],
    ['an overlong character', [0xc0, 0xaf], '\\xc0\\xaf'],
    ['an encoded surrogate', [0xed, 0xb3, 0xbf], '\\xed\\xb3\\xbf'],
    ['UTF-8 among them', [...Buffer.from('é😀'), 0xff, ...Buffer.from('中')], 'é😀\\xff中'],
    ['the replacement character', [...Buffer.from('\ufffd')], '\ufffd'],
    ['a backslash', [...Buffer.from('a\\b\\x41')], 'a\\b\\x41'],
    ['what looks like the spelling', [...Buffer.from('a\\xff\\x5cx')], 'a\\x5cxff\\x5cx5cx'],
  ])('and is kept as its bytes: %s', (_what, bytes, spelled) => {
    const name = decodeName(Buffer.from(bytes));
    expect([...encodeName(name)]).toEqual(bytes);
    expect(spellName(name)).toBe(spelled);
    expect(spelled.isWellFormed()).toBe(true);
  });

  test('of its own: no two names share it, whatever bytes they have', () => {
    const bytes = [0x5c, 0x78, 0x35, 0x63, 0x66, 0xff, 0xc3, 0xa9];
    const seen = new Map<string, string>();
    for (let number = 0; number < bytes.length ** 5; number += 1) {
      const name = Buffer.from([1, 8, 64, 512, 4096].map((power) => bytes[Math.floor(number / power) % 8] ?? 0));
      const spelled = spellName(decodeName(name));
      expect(seen.get(spelled)).toBeUndefined();
      seen.set(spelled, name.toString('latin1'));
    }
  });
});
