import { describe, expect, test } from 'vitest';
import { readForm } from './multipart.ts';

const TYPE = 'multipart/form-data; boundary=x-1';

/** A form cut into pieces of a length. */
async function* cut(text: string, length: number): AsyncGenerator<Uint8Array, void, undefined> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function parse(text: string, { type = TYPE, length = 7 } = {}) {
  const found: { name: string; filename: string | undefined; text: string }[] = [];
  for await (const { name, filename, bytes } of readForm(type, cut(text, length))) {
    const pieces: Uint8Array[] = [];
    for await (const piece of bytes) pieces.push(piece);
    found.push({ name, filename, text: Buffer.concat(pieces).toString() });
  }
  return found;
}

const part = (parameters: string, body: string, more = '') =>
  `--x-1\r\nContent-Disposition: form-data; ${parameters}\r\n${more}\r\n${body}\r\n`;
const END = '--x-1--\r\n';

describe('a form', () => {
  test.each([1, 2, 3, 5, 8, 13, 64, 4096])('is the same whatever pieces it comes in (of %d bytes)', async (length) => {
    const tricky = 'a\r\n--x-\r\n-x-1\r\n\r\n--x\r\n';
    const form =
      part('name="file"; filename="a.txt"', tricky, 'Content-Type: text/plain\r\n') +
      part('filename=b.bin; name=file', '') +
      part('name="note"', 'text') +
      END;
    expect(await parse(form, { length })).toEqual([
      { name: 'file', filename: 'a.txt', text: tricky },
      { name: 'file', filename: 'b.bin', text: '' },
      { name: 'note', filename: undefined, text: 'text' },
    ]);
  });

  test('may have text before its first part and after its last, and padding after a boundary', async () => {
    const form = `Preamble\r\n${part('name="f"; filename="a"', '1').replace('x-1\r', 'x-1 \t\r')}${END}Epilogue`;
    expect(await parse(form)).toEqual([{ name: 'f', filename: 'a', text: '1' }]);
  });

  test.each([
    ['filename="a b;c=d.txt"', 'a b;c=d.txt'],
    ['filename="é 😀.txt"', 'é 😀.txt'],
    ['filename="q%22u.txt"', 'q"u.txt'],
    ['filename="q\\"u\\\\.txt"', 'q"u\\.txt'],
    ['filename="x.txt"; filename*=UTF-8\'\'%C3%A9.txt', 'é.txt'],
    ['filename=""', ''],
  ])('may call a file %s', async (parameter, filename) => {
    expect(await parse(part(`name="f"; ${parameter}`, '1') + END)).toMatchObject([{ filename }]);
  });

  test('skips what nobody read of a part', async () => {
    const names: (string | undefined)[] = [];
    const form = part('name="f"; filename="a"', 'x'.repeat(1000)) + part('name="f"; filename="b"', '') + END;
    for await (const { filename } of readForm(TYPE, cut(form, 10))) names.push(filename);
    expect(names).toEqual(['a', 'b']);
  });

  test('has a boundary that may be quoted', async () => {
    const type = 'multipart/form-data; charset=utf-8; Boundary="x-1"';
    expect(await parse(part('name="f"; filename="a"', '1') + END, { type })).toHaveLength(1);
  });

  test.each<[what: string, form: string, type?: string]>([
    ['has no boundary', END, 'multipart/form-data'],
    ['is empty', ''],
    ['has only text', 'hello'],
    ['ends within a part', part('name="f"; filename="a"', 'data').slice(0, -2)],
    ['ends before its last boundary', part('name="f"; filename="a"', 'data')],
    ['goes on after a boundary', `--x-1y\r\n\r\n${END}`],
    ['has a head without end', `--x-1\r\n${'A: b\r\n'.repeat(10_000)}`],
    ['is encoded', part('name="f"; filename="a"', 'ZGF0YQ==', 'Content-Transfer-Encoding: base64\r\n') + END],
  ])('that %s is refused', async (_what, form, type = TYPE) => {
    await expect(parse(form, { type })).rejects.toMatchObject({ code: 'invalid_input' });
  });
});
