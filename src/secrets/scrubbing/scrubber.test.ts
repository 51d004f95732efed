import { describe, expect, it } from 'vitest';
import { Scrubber } from './scrubber.ts';

const SECRET = 'gh/p_Zü+"9&7 x';
const scrubber = new Scrubber([SECRET, 'short', '12345678']);

describe('a secret is found', () => {
  it.each<readonly [string, string]>([
    ['as it is', SECRET],
    ['in JSON', JSON.stringify({ a: SECRET })],
    ['in JSON in JSON', JSON.stringify({ a: JSON.stringify({ b: SECRET }) })],
    ['in a URL', `https://x/?q=${encodeURIComponent(SECRET)}`],
    ['in a form', new URLSearchParams({ a: SECRET }).toString()],
    ['in hexadecimal', `<${Buffer.from(SECRET).toString('hex')}>`],
    ...[0, 1, 2, 3, 4].flatMap((before) =>
      (['base64', 'base64url'] as const).map(
        (form) =>
          [
            `in ${form} after ${before} bytes`,
            Buffer.from(`${'u'.repeat(before)}${SECRET}: more`).toString(form),
          ] as const,
      ),
    ),
  ])('%s', (_, text) => {
    expect(scrubber.text(text)).toContain('[secret removed]');
    // Enough of base64 is gone to leave no more than two characters.
    const left = Buffer.from(scrubber.text(text), 'base64').toString('latin1');
    expect(left).not.toContain('p_Z');
  });

  it('in names and values of JSON, also as a number', () => {
    const value = { list: [{ [SECRET]: 1, b: `x${SECRET}` }], n: 12_345_678, other: 5, nothing: null };
    expect(scrubber.json(value)).toEqual({
      list: [{ '[secret removed]': 1, b: 'x[secret removed]' }],
      n: '[secret removed]',
      other: 5,
      nothing: null,
    });
  });

  it('in bytes, which keep their length', () => {
    const bytes = Buffer.concat([Buffer.from([0, 255]), Buffer.from(SECRET), Buffer.from([128])]);
    const clean = scrubber.bytes(bytes);
    expect(clean).toEqual(
      Buffer.concat([Buffer.from([0, 255]), Buffer.alloc(Buffer.byteLength(SECRET), '*'), Buffer.from([128])]),
    );
  });
});

it('leaves all else as it is', () => {
  const value = { a: 'short', b: [1, 'gh/p_Z'] };
  expect(scrubber.json(value)).toBe(value);
  const bytes = Buffer.from('short');
  expect(scrubber.bytes(bytes)).toBe(bytes);
  expect(new Scrubber([]).text('x')).toBe('x');
});

it('finds a secret without the blanks around it, which servers leave out', () => {
  expect(new Scrubber([' pasted-token ']).text('Bearer pasted-token')).toBe('Bearer [secret removed]');
});

it('leaves no rest of a secret that another one begins with', () => {
  expect(new Scrubber(['abcdefgh', 'abcdefgh-ijkl']).text('abcdefgh-ijkl')).toBe('[secret removed]');
});
