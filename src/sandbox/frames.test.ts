import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder, FrameType } from './frames.ts';

const decodeAll = (decoder: FrameDecoder, ...chunks: Buffer[]) =>
  chunks.flatMap((chunk) =>
    [...decoder.decode(chunk)].map((frame) => ({ ...frame, payload: frame.payload.toString() })),
  );

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
      expect(decodeAll(new FrameDecoder(), ...chunks)).toEqual(frames);
    }
  });

  it('over the limit are refused from the header alone', () => {
    const header = Buffer.from([0xff, 0xff, 0xff, 0xff, 17, 0, 0, 0, 1]);
    expect(() => decodeAll(new FrameDecoder(), header)).toThrow('frame of 4294967295 bytes');
  });
});
