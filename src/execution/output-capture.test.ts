import { describe, expect, it } from 'vitest';
import { OutputCapture } from './output-capture.ts';

function capture(limit: number, ...chunks: (string | Buffer)[]) {
  const output = new OutputCapture(limit);
  for (const chunk of chunks) output.add(Buffer.from(chunk as string));
  return output.result();
}

describe('captured output', () => {
  it('is whole up to the limit', () => {
    expect(capture(10, '01234', '56789')).toEqual({ text: '0123456789', leftOut: 0, total: 10 });
    expect(capture(10)).toEqual({ text: '', leftOut: 0, total: 0 });
  });

  it('keeps head and tail beyond it, and says how much is missing', () => {
    expect(capture(10, 'abcdefghijk')).toEqual({ text: 'abcde\n… 1 bytes left out …\nghijk', leftOut: 1, total: 11 });
    const many = capture(10, 'head-', ...Array(10_000).fill('filler'), '-tail');
    expect(many).toEqual({ text: 'head-\n… 60000 bytes left out …\n-tail', leftOut: 60_000, total: 60_010 });
  });

  it('is the same however the bytes are cut', () => {
    const bytes = Buffer.from('añ日🎉'.repeat(40));
    const whole = capture(64, bytes);
    for (const size of [1, 3, 7, 31]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      expect(capture(64, ...chunks)).toEqual(whole);
    }
  });

  it('never splits a character at the cut', () => {
    for (let limit = 16; limit < 40; limit += 1) {
      const { text, leftOut } = capture(limit, '🎉'.repeat(20));
      expect(text).not.toContain('\ufffd');
      expect(Buffer.byteLength(text.replace(/\n….*…\n/, '')) + leftOut).toBe(80);
    }
  });

  it('counts with what is left out what never came to it', () => {
    const output = new OutputCapture(10);
    output.add(Buffer.from('abcdefghijk'));
    expect(output.result(1011)).toEqual({ text: 'abcde\n… 1001 bytes left out …\nghijk', leftOut: 1001, total: 1011 });
  });

  it('replaces what is not UTF-8', () => {
    expect(capture(100, Buffer.from([0x61, 0xff, 0x62])).text).toBe('a\ufffdb');
  });
});
