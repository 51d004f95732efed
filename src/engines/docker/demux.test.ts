import { randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { ExecStream } from './demux.ts';

function frame(stream: number, bytes: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

const STDOUT = randomBytes(5000);
const STDERR = Buffer.from('a runner complains');
const SENT = Buffer.concat([
  frame(1, STDOUT.subarray(0, 1)),
  frame(1, STDOUT.subarray(1, 3000)),
  frame(2, STDERR),
  frame(1, Buffer.alloc(0)),
  frame(1, STDOUT.subarray(3000)),
]);

test.each([1, 3, 8, 9, 1000, SENT.length])('stdout and stderr come whole in chunks of %i', async (size) => {
  const raw = new PassThrough();
  const said: Buffer[] = [];
  const pieces: Buffer[] = [];
  const stream = new ExecStream(raw, (piece) => said.push(Buffer.from(piece)));
  stream.readPieces((piece) => pieces.push(Buffer.from(piece)));
  const ended = new Promise((resolve) => stream.once('end', resolve));
  for (let at = 0; at < SENT.length; at += size) raw.write(Buffer.from(SENT.subarray(at, at + size)));
  raw.end();
  await ended;
  expect(Buffer.concat(pieces).equals(STDOUT)).toBe(true);
  expect(Buffer.concat(said).equals(STDERR)).toBe(true);
});

test('without pieces it is a stream like any other', async () => {
  const raw = new PassThrough();
  const stream = new ExecStream(raw, () => {});
  const pieces: Buffer[] = [];
  stream.on('data', (piece: Buffer) => pieces.push(piece));
  const ended = new Promise((resolve) => stream.once('end', resolve));
  raw.end(SENT);
  await ended;
  expect(Buffer.concat(pieces).equals(STDOUT)).toBe(true);
});

test('pieces of stdout that come together are one piece', async () => {
  const raw = new PassThrough();
  const pieces: Buffer[] = [];
  new ExecStream(raw, () => {}).readPieces((piece) => pieces.push(Buffer.from(piece)));
  raw.end(Buffer.concat([frame(1, STDOUT.subarray(0, 10)), frame(1, STDOUT.subarray(10))]));
  await new Promise((resolve) => raw.once('end', resolve));
  expect(pieces).toEqual([STDOUT]);
});

test('the end of the connection ends the stream', async () => {
  const raw = new PassThrough();
  const stream = new ExecStream(raw, () => {});
  stream.readPieces(() => {});
  const closed = new Promise((resolve) => stream.once('close', resolve));
  raw.destroy();
  await closed;
  expect(stream.destroyed).toBe(true);
});
