import { ok } from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { GloveboxError } from '../../../src/errors.ts';
import { Channel } from '../../../src/protocol/channel.ts';
import { encodeFrame, type Frame, FrameDecoder, FrameType, INITIAL_CREDIT } from '../../../src/protocol/frames.ts';
import { IncompatibleRunner } from '../../../src/protocol/greeting.ts';
import { cut, type Target } from '../target.ts';

/** The header of a frame, and where the number of its stream begins, in bytes. */
const HEADER = { length: 9, stream: 5 };
const STREAMED = new Set<number>([FrameType.stdout, FrameType.stderr, FrameType.display, FrameType.data]);

/** What a sandbox may send to the control plane: first to the decoder, then to a channel with two executions. */
export const channel: Target = {
  name: 'channel',
  longest: 64 * 1024,
  words: [
    ...Object.values(FrameType).flatMap((type) =>
      [0, 1, 2, 2 ** 30, 2 ** 31, 2 ** 31 + 1].map((on) => frame(type, on)),
    ),
    '{"stdin_ahead":1024,"adopted":{"contexts":["a"],"executions":[{"id":"e","stream":1073741824,"ran_ms":1}]}}',
    '{"exit_code":0,"signal":null,"oom_killed":false,"survivors":false,"error":null,"files":[],"cpu_ms":0,"peak_memory_bytes":0,"stacks":[]}',
    '{"refused":"no"}',
    '{"failed":"no"}',
    '{"preload_failed":{"module":"a","reason":"b"}}',
    '\\ud800',
    '__proto__',
  ],
  repair: withLengths,
  async run(input) {
    const whole = framesOf([input]);
    const pieces = framesOf(cut(input));
    ok(whole === pieces, `cut into pieces, the frames are others: ${whole.slice(0, 200)} / ${pieces.slice(0, 200)}`);
    await speak(input);
  },
};

function frame(type: number, stream: number): Buffer {
  return encodeFrame(type, stream, Buffer.from('{}'));
}

/** Sets the length of each frame to what is there of it, which every change of a payload breaks. */
function withLengths(input: Buffer): Buffer {
  const repaired = Buffer.from(input);
  for (let at = 0; at + HEADER.length <= repaired.length; ) {
    const length = repaired.readUInt32BE(at);
    const left = repaired.length - at - HEADER.length;
    // A frame whose length leads nowhere ends before the next greeting, report or end of the input.
    const next = repaired.subarray(at + HEADER.length).indexOf('\0\0', 1, 'latin1');
    const fits = length <= left ? length : next > 0 ? next : left;
    repaired.writeUInt32BE(fits, at);
    at += HEADER.length + fits;
  }
  return repaired;
}

/** The frames that a decoder finds, as text, and why it stopped. Pieces of a streamed payload are put together. */
function framesOf(pieces: Iterable<Buffer>): string {
  const found: Frame[] = [];
  const decoder = new FrameDecoder();
  let end = '';
  try {
    for (const piece of pieces) for (const one of decoder.decode(piece)) found.push(one);
  } catch (error) {
    ok(error instanceof Error && /^frame of \d+ bytes$/.test(error.message), String(error));
    end = error.message;
  }
  const texts: string[] = [];
  for (const [index, { type, stream, payload }] of found.entries()) {
    const before = found[index - 1];
    const goesOn = STREAMED.has(type) && before?.type === type && before.stream === stream && payload.length > 0;
    texts.push(`${goesOn ? '' : `|${type} ${stream} `}${payload.toString('hex')}`);
  }
  return `${texts.join('')}|${end}`;
}

/** A runner's side of a stream: what it is sent is dropped. */
class Sandbox extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done();
  }
}

async function speak(input: Buffer): Promise<void> {
  const sandbox = new Sandbox();
  const received = [0, 0];
  const opening = Channel.open(sandbox, {
    onTunnel: (tunnel) => {
      tunnel.resume();
      tunnel.write('x'.repeat(1000));
    },
  });
  // A greeting of the input's own comes first if it has one.
  if (input[4] !== FrameType.ready) sandbox.push(frame(FrameType.ready, 0));
  const pieces = [...cut(input)];
  sandbox.push(pieces.shift() ?? Buffer.alloc(0));
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const opened = await Promise.race([opening.catch((error: unknown) => error), turn().then(turn)]);
  if (opened instanceof Channel) {
    for (const index of [0, 1]) {
      opened.execute({ code: '', stdin_stream: true }, (_, chunk) => {
        received[index] = (received[index] ?? 0) + chunk.length;
        // The first is never read: it may get what it was granted at first, and no more.
        return index === 0 ? new Promise(() => {}) : undefined;
      });
    }
    for (const piece of pieces) sandbox.push(piece);
    await turn();
    opened.close();
    const { violation } = await opened.closed;
    if (violation !== undefined) checkReason(violation);
    ok((received[0] ?? 0) <= INITIAL_CREDIT, `${received[0]} bytes of an execution whose output nobody read`);
  } else {
    sandbox.destroy();
    const failure = await opening.catch((error: unknown) => error);
    ok(failure instanceof GloveboxError || failure instanceof IncompatibleRunner, String(failure));
  }
}

/** A reason that is no defect of ours: not one that JavaScript gives for a mistake in a program. */
function checkReason(violation: string): void {
  ok(!/^Cannot |^[\w.]+ is not (?:a function|iterable|defined)|call stack|^Invalid array/.test(violation), violation);
}
