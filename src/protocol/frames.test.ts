import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, FrameType, PROTOCOL_VERSION } from './frames.ts';

const decodeAll = (decoder: FrameDecoder, ...chunks: Buffer[]) =>
  chunks.flatMap((chunk) =>
    [...decoder.decode(chunk)].map((frame) => ({ ...frame, payload: frame.payload.toString() })),
  );

/** Pieces of one stream put together again. */
function join(frames: ReturnType<typeof decodeAll>): ReturnType<typeof decodeAll> {
  const joined: ReturnType<typeof decodeAll> = [];
  for (const frame of frames) {
    const before = joined.at(-1);
    if (before?.type === frame.type && before.stream === frame.stream) before.payload += frame.payload;
    else joined.push({ ...frame });
  }
  return joined;
}

describe('the two halves of the channel', () => {
  it('speak the same version of the protocol', () => {
    const runner = readFileSync(
      new URL('../../sandbox-image/runner/_glovebox/wire/frames.py', import.meta.url),
      'utf8',
    );
    expect(/^PROTOCOL_VERSION = (\d+)$/m.exec(runner)?.[1]).toBe(String(PROTOCOL_VERSION));
  });
});

describe('frames', () => {
  const bytes = Buffer.concat([
    encodeFrame(FrameType.stdout, 1, Buffer.from('hello')),
    encodeFrame(FrameType.end, 2, Buffer.alloc(0)),
    encodeFrame(FrameType.stderr, 0xffffffff, Buffer.from('x'.repeat(1000))),
  ]);
  const frames = [
    { type: 17, stream: 1, payload: 'hello' },
    { type: 19, stream: 2, payload: '' },
    { type: 18, stream: 0xffffffff, payload: 'x'.repeat(1000) },
  ];

  it('come out as they went in, however the bytes are cut', () => {
    for (const size of [1, 2, 8, 9, 10, 14, 100, bytes.length]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      expect(join(decodeAll(new FrameDecoder(), ...chunks))).toEqual(frames);
    }
  });

  it('of a report are handed on whole, those of output as their bytes come', () => {
    const decoder = new FrameDecoder();
    const report = encodeFrame(FrameType.end, 1, Buffer.from('{}'));
    expect(decodeAll(decoder, report.subarray(0, 10))).toEqual([]);
    expect(decodeAll(decoder, report.subarray(10))).toEqual([{ type: 19, stream: 1, payload: '{}' }]);
    const output = encodeFrame(FrameType.stdout, 1, Buffer.from('hello'));
    expect(decodeAll(decoder, output.subarray(0, 11))).toEqual([{ type: 17, stream: 1, payload: 'he' }]);
    expect(decodeAll(decoder, output.subarray(11))).toEqual([{ type: 17, stream: 1, payload: 'llo' }]);
  });

  it('over the limit are refused from the header alone', () => {
    const header = Buffer.from([0xff, 0xff, 0xff, 0xff, 17, 0, 0, 0, 1]);
    expect(() => decodeAll(new FrameDecoder(), header)).toThrow('frame of 4294967295 bytes');
  });
});
