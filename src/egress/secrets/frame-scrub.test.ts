import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { Scrubber } from '../../secrets/scrubbing/scrubber.ts';
import { FrameScrub } from './frame-scrub.ts';

const SECRET = 'canary-0123456789abc';
const scrubber = new Scrubber([{ value: SECRET, label: '' }]);
const STARS = '*'.repeat(SECRET.length);

function frame(payload: string | Buffer, first = 0x81): Buffer {
  const bytes = Buffer.from(payload);
  const long = Buffer.alloc(8);
  long.writeBigUInt64BE(BigInt(bytes.length));
  const short = Buffer.from([bytes.length >> 8, bytes.length & 255]);
  const [code, more] =
    bytes.length < 126 ? [bytes.length, Buffer.alloc(0)] : bytes.length < 65_536 ? [126, short] : [127, long];
  return Buffer.concat([Buffer.from([first, code]), more, bytes]);
}

const scrub = async (pieces: readonly Buffer[]) => await buffer(Readable.from(pieces).pipe(new FrameScrub(scrubber)));

it('masks a secret in frames of all lengths, however they are cut', async () => {
  const long = randomBytes(70_000).toString('hex').slice(0, 70_000);
  const frames = (secret: string) =>
    Buffer.concat([frame(''), frame(`a${secret}`), frame(`${'x'.repeat(300)}${secret}`), frame('ping', 0x89)]);
  for (let cut = 0; cut < 400; cut += 1) {
    const all = frames(SECRET);
    expect(await scrub([all.subarray(0, cut), all.subarray(cut)])).toEqual(frames(STARS));
  }
  expect(await scrub(Array.from(frames(SECRET), (byte) => Buffer.from([byte])))).toEqual(frames(STARS));
  expect(await scrub([frame(`${long}${SECRET}`), frame(SECRET)])).toEqual(
    Buffer.concat([frame(`${long}${STARS}`), frame(STARS)]),
  );
});

it('passes a frame on that ends as a secret begins, for which code may wait', () => {
  const stream = new FrameScrub(scrubber);
  for (const text of ['canary-', 'c', SECRET, `${SECRET}${SECRET.slice(0, 5)}`]) {
    stream.write(frame(text));
    expect(stream.read()).toHaveLength(frame(text).length);
  }
});

it.each([
  ['masked', [0x81, 0x85, 1, 2, 3, 4, 0, 0, 0, 0, 0]],
  ['compressed', [0xc1, 0x01, 0]],
])('ends the connection at a frame that is %s, in which nothing could be found', async (_, bytes) => {
  await expect(scrub([frame('before'), Buffer.from(bytes)])).rejects.toThrow('a frame that it may not send');
});
