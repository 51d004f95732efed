import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { ServerFrames } from './server-frames.ts';

const SIZES = [0, 1, 125, 126, 65_535, 65_536, 200_000];
const BINARY = 0x82;
const END = Buffer.from([0x88, 4, 4401 >> 8, 4401 & 0xff, 0x6e, 0x6f]);

function frame(size: number): Buffer {
  const payload = randomBytes(size);
  if (size < 126) return Buffer.concat([Buffer.from([BINARY, size]), payload]);
  if (size < 65_536) return Buffer.concat([Buffer.from([BINARY, 126, size >> 8, size & 0xff]), payload]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(BigInt(size));
  return Buffer.concat([Buffer.from([BINARY, 127]), length, payload]);
}

test.each(SIZES)('a connection ends after a whole frame of %i bytes, wherever that is cut', async (size) => {
  const whole = frame(size);
  const cuts = [...new Set([0, 1, 2, 3, 5, whole.length - 1])].filter((at) => at >= 0 && at < whole.length);
  for (const cut of cuts) {
    const frames = new ServerFrames();
    const passed = buffer(frames);
    const first = frame(10);
    frames.write(Buffer.concat([first, whole.subarray(0, cut)]));
    frames.close(4401, 'no');
    frames.end(Buffer.concat([whole.subarray(cut), frame(5)]));
    const expected = cut === 0 ? [first, END] : [first, whole, END];
    expect((await passed).equals(Buffer.concat(expected)), `cut at ${cut}`).toBe(true);
  }
});

test('frames pass as they come', async () => {
  const frames = new ServerFrames();
  const all = Buffer.concat(SIZES.map(frame));
  const passed = buffer(frames);
  for (let at = 0; at < all.length; at += 1000)
    if (!frames.write(all.subarray(at, at + 1000))) await once(frames, 'drain');
  frames.end();
  expect((await passed).equals(all)).toBe(true);
});
