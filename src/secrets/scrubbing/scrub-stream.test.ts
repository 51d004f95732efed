import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { ScrubStream } from './scrub-stream.ts';
import { type Removal, Scrubber } from './scrubber.ts';

const SECRET = 'gh_Zü+"9&7/x canary-0123456789';
const LABEL = '[secret TOKEN]';
const scrubber = new Scrubber([{ value: SECRET, label: LABEL }]);

async function scrub(pieces: readonly Buffer[], removal: Removal = 'label', by = scrubber): Promise<Buffer> {
  return await buffer(Readable.from(pieces).pipe(new ScrubStream(by, removal)));
}

const utf16 = Buffer.from(`x${SECRET}y`, 'utf16le');
const html = SECRET.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
const ascii = JSON.stringify(SECRET).replace(
  /[^ -~]/g,
  (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
);
const wrapped = (text: string, width: number, by: string) =>
  text.match(new RegExp(`.{1,${width}}`, 'g'))?.join(by) ?? '';
const long = Buffer.from(`${'before '.repeat(9)}${SECRET}${' after'.repeat(20)}`);

const SPELLINGS: readonly (readonly [string, string | Buffer])[] = [
  ['as it is', SECRET],
  ['in upper case', SECRET.toUpperCase()],
  ['in JSON', JSON.stringify({ a: SECRET })],
  ['in JSON of ASCII', ascii],
  ['in JSON as PHP writes it', ascii.replaceAll('/', '\\/')],
  ['in JSON as Go writes it', JSON.stringify(SECRET).replaceAll('&', '\\u0026').replaceAll('ü', '\\u00fc')],
  ['in a URL', `https://x/?q=${encodeURIComponent(SECRET)}&more`],
  ['in a path', encodeURIComponent(SECRET).replaceAll('%2F', '/')],
  ['in a URL in a URL', encodeURIComponent(encodeURIComponent(SECRET))],
  ['in a form', new URLSearchParams({ a: SECRET }).toString()],
  ['with each byte as a percent code', Buffer.from(SECRET).toString('hex').replace(/../g, '%$&')],
  ['in HTML', `<b>${html}</b>`],
  ['in hexadecimal', `<${Buffer.from(SECRET).toString('hex')}>`],
  [
    'in hexadecimal with colons',
    Buffer.from(SECRET)
      .toString('hex')
      .replace(/..(?!$)/g, '$&:'),
  ],
  ['in a dump', `0010  ${Buffer.from(SECRET).toString('hex').replace(/../g, '$& ')} |..|`],
  ['as numbers', JSON.stringify({ data: [1, ...Buffer.from(SECRET), 2] })],
  ['as numbers with blanks', [...Buffer.from(SECRET)].join(', ')],
  ['in UTF-16', utf16],
  ['in UTF-16 with the other order', Buffer.from(utf16).swap16()],
  ...[0, 1, 2, 3].flatMap((before) =>
    (['base64', 'base64url'] as const).map(
      (form) =>
        [
          `in ${form} after ${before} bytes`,
          Buffer.from(`${'u'.repeat(before)}${SECRET}: more`).toString(form),
        ] as const,
    ),
  ),
  ...[60, 64, 76].map(
    (width) => [`in base64 in lines of ${width}`, wrapped(long.toString('base64'), width, '\r\n')] as const,
  ),
  ...[60, 64, 76].map(
    (width) => [`in base64 in lines of ${width} in JSON`, wrapped(long.toString('base64'), width, '\\n')] as const,
  ),
];

describe('a secret in a stream', () => {
  it.each(SPELLINGS)('is removed %s, wherever the stream is cut', async (_, spelling) => {
    const whole = Buffer.concat([Buffer.from('before:'), Buffer.from(spelling), Buffer.from(':after')]);
    const expected = await scrub([whole]);
    expect(expected.toString('latin1')).toContain(LABEL);
    expect(expected.toString('latin1')).toMatch(/^before:.*:after$/s);
    for (const text of [
      expected.toString('latin1'),
      Buffer.from(expected.toString('latin1'), 'base64').toString('latin1'),
    ])
      expect(text).not.toMatch(/anary-01234567/i);
    for (let cut = 1; cut < whole.length; cut += 1)
      expect(await scrub([whole.subarray(0, cut), whole.subarray(cut)])).toEqual(expected);
    const single = Array.from(whole, (byte) => Buffer.from([byte]));
    expect(await scrub(single)).toEqual(expected);
  });

  it('is masked by as many stars as it has bytes, where the length must stay', async () => {
    const bytes = Buffer.byteLength(SECRET);
    const frame = Buffer.concat([Buffer.from([0x81, bytes]), Buffer.from(SECRET), Buffer.from([0x88, 0])]);
    const expected = Buffer.concat([Buffer.from([0x81, bytes]), Buffer.alloc(bytes, '*'), Buffer.from([0x88, 0])]);
    for (let cut = 1; cut < frame.length; cut += 1)
      expect(await scrub([frame.subarray(0, cut), frame.subarray(cut)], 'stars')).toEqual(expected);
  });

  it('is removed beside others that it overlaps, and leaves no rest of them', async () => {
    const three = new Scrubber(['abcdefgh', 'efghijklmn', 'ijklmnop'].map((value) => ({ value, label: '[x]' })));
    for (let cut = 1; cut < 20; cut += 1) {
      const text = Buffer.from('..abcdefghijklmnop..');
      expect((await scrub([text.subarray(0, cut), text.subarray(cut)], 'label', three)).toString()).toBe('..[x]..');
    }
  });
});

it('passes on at once what is not the beginning of a secret, as streams of events need it', () => {
  const scrubbing = scrubber.begin('label');
  const passed = (text: string) => Buffer.concat(scrubbing.push(Buffer.from(text))).toString();
  expect(passed('data: one\n\n')).toBe('data: one\n\n');
  expect(passed('data: gh_')).toBe('data: ');
  expect(passed('other\n\n')).toBe('gh_other\n\n');
  expect(passed('gh_')).toBe('');
  expect(Buffer.concat(scrubbing.end()).toString()).toBe('gh_');
});

it('leaves all else as it is, in pieces of any size', async () => {
  const bytes = randomBytes(300_000);
  const pieces = Array.from({ length: 300 }, (_, index) => bytes.subarray(index * 1000, (index + 1) * 1000));
  expect((await scrub(pieces)).equals(bytes)).toBe(true);
  expect((await scrub(pieces, 'stars')).equals(bytes)).toBe(true);
  expect((await scrub(pieces, 'label', new Scrubber([]))).equals(bytes)).toBe(true);
});

it('keeps little of an endless repetition of a secret', () => {
  const zeros = new Scrubber([{ value: '0'.repeat(32), label: '[x]' }]).begin('label');
  let passed = 0;
  for (let piece = 0; piece < 200; piece += 1) {
    for (const part of zeros.push(Buffer.alloc(10_000, '0'))) passed += part.length;
  }
  expect(passed).toBeGreaterThan(0);
  const rest = Buffer.concat(zeros.end());
  expect(rest.length).toBeLessThan(1000);
  expect(rest.toString()).not.toContain('0'.repeat(32));
});
