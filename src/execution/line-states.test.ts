import { describe, expect, it, test } from 'vitest';
import { LineStates } from './line-states.ts';

function inChunks(text: string | Buffer, size: number): string {
  const bytes = Buffer.from(text as string);
  const states = new LineStates();
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) out.push(Buffer.concat(states.add(bytes.subarray(at, at + size))));
  return Buffer.concat([...out, states.finish()]).toString('utf8');
}

const UP = '\x1b[A';
const CASES: [what: string, output: string, state: string][] = [
  ['a counter', '\r1%\r2%\r100%', '100%'],
  ['a counter that ends each state with the return', '1%\r2%\r100%\r', '100%'],
  ['a counter that is followed by a line', '1%\r100%\r\ndone\r\n', '100%\ndone\r\n'],
  ['a count down', '10 left\r9 left\r8 left\n', '8 left\n'],
  ['a bar that ends with a line end', 'a\n\r 0%\r 50%\r100%\nb\n', 'a\n100%\nb\n'],
  ['a bar that is wiped', ' 0%\r 50%\r    \rdone\n', 'done\n'],
  ['a bar that is wiped at the end', 'x\n 0%\r 50%\r    \r', 'x\n'],
  ['a bar that is erased', ' 0%\r 50%\r\x1b[Kdone\r\x1b[2Kwell\n', 'well\n'],
  ['line ends of Windows', 'a\r\nb\r\n', 'a\r\nb\r\n'],
  ['a return before a line end of Windows', 'a\r\r\nb', 'a\r\nb'],
  ['a spinner', 'wait |\b/\b-\b\\\bok\n', 'wait ok\n'],
  ['backspaces that nothing follows', 'abc\b\b', 'abc'],
  ['backspaces over characters of several bytes', 'añ日🎉\b\b\bo\n', 'ao\n'],
  ['backspaces and a return', '1/9 [=>..]\b\b\b\r2/9 [==>.]\n', '2/9 [==>.]\n'],
  ['nested bars', `\rout 0%\n\r in 0%${UP}\n\r in 50%${UP}\rout 50%\n\r in 99%${UP}\rout 100%\n`, 'out 100%\n in 99%'],
  ['rows that are drawn anew', 'a 1\nb 1\n\x1b[2F\x1b[Ka 2\n\x1b[Kb 2\n', 'a 2\nb 2\n'],
  ['rows that are fewer in the end', 'a\nb\nc\n\x1b[3A\r\x1b[Jd\n', 'd\n'],
  ['colours', '\x1b[31mred\x1b[0m \x1b[?25lno cursor\x1b[?25h', '\x1b[31mred\x1b[0m no cursor'],
  ['an escape that is none', 'a\x1b]0;t\x07b\x1b', 'a\x1b]0;t\x07b\x1b'],
  ['plain text', 'añ\n\n日🎉', 'añ\n\n日🎉'],
  ['nothing', '', ''],
];

describe('the last state of each line', () => {
  test.each(CASES)('of %s', (_what, output, state) => {
    for (const size of [1, 2, 3, 7, 1000]) expect(inChunks(output, size)).toBe(state);
  });

  it('is the text itself, however long, where nothing moves the cursor', () => {
    const lines = Array.from({ length: 50_000 }, (_, n) => `${n} añ日🎉\n`).join('');
    for (const size of [1000, 65_536])
      expect(inChunks(`${lines}${'x'.repeat(200_000)}`, size)).toBe(`${lines}${'x'.repeat(200_000)}`);
  });

  it('leaves bytes that are no text as they are', () => {
    const bytes = Buffer.from(
      Array.from({ length: 1024 }, (_, n) => n % 256).filter((byte) => ![8, 13, 27].includes(byte)),
    );
    const states = new LineStates();
    expect(Buffer.concat([...states.add(bytes), states.finish()])).toEqual(bytes);
  });

  it('of a bar that never ends takes no memory, and no output before its end', () => {
    const states = new LineStates();
    let bytes = 0;
    for (let round = 0; round < 2000; round += 1)
      for (const piece of states.add(Buffer.from(`\r${round} ${'#'.repeat(500)}`))) bytes += piece.length;
    expect(bytes).toBe(0);
    expect(states.finish().toString()).toBe(`1999 ${'#'.repeat(500)}`);
  });

  it('is found in time that grows with the output alone', () => {
    const hostile = `${'x'.repeat(16_000)}${'\b'.repeat(16_000)}y`.repeat(20) + '\x1b[999B\x1b[999A'.repeat(50_000);
    expect(inChunks(hostile, 262_144).length).toBeLessThan(hostile.length);
  });
});
