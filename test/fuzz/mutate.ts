import type { Random } from '../../soak/random.ts';
import type { Target } from './target.ts';

/** Numbers at whose edges readers fail. */
const EDGES = [
  0,
  1,
  2 ** 7,
  2 ** 8 - 1,
  2 ** 15,
  2 ** 16 - 1,
  4 * 1024 * 1024,
  2 ** 30,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
const DIGITS = ['0', '-1', '00', '255', '65536', '2147483648', '4294967296', '9007199254740992', '1e999'];

type Change = (input: Buffer, random: Random, target: Target, others: readonly Buffer[]) => Buffer;

const CHANGES: readonly Change[] = [
  (input, random) => set(input, random, (byte) => byte ^ (1 << random.whole(0, 7))),
  (input, random) => set(input, random, () => random.whole(0, 255)),
  (input, random) => set(input, random, (byte) => byte + random.whole(-4, 4)),
  (input, random) => replace(input, part(input, random), Buffer.alloc(0)),
  (input, random) => {
    const { from, to } = part(input, random);
    const at = random.whole(0, input.length);
    return replace(input, { from: at, to: at }, input.subarray(from, to));
  },
  (input, random) => {
    const { from, to } = part(input, random);
    const times = 2 ** random.whole(1, 10);
    return replace(input, { from, to }, Buffer.concat(Array.from({ length: times }, () => input.subarray(from, to))));
  },
  (input, random) => input.subarray(0, random.whole(0, input.length)),
  (input, random, { words }) => {
    const at = random.whole(0, input.length);
    const word = Buffer.from(words.length > 0 ? random.pick(words) : random.pick(DIGITS));
    return replace(input, { from: at, to: random.next() < 0.5 ? at : at + word.length }, word);
  },
  (input, random) => {
    const at = random.whole(0, input.length);
    const digits = Buffer.from(random.pick(DIGITS));
    return replace(input, { from: at, to: random.next() < 0.5 ? at : at + digits.length }, digits);
  },
  (input, random) => {
    const edge = Buffer.alloc(4);
    edge.writeUInt32BE(random.pick(EDGES));
    const at = random.whole(0, input.length);
    return replace(input, { from: at, to: at + 4 }, edge);
  },
  (input, random, _, others) => {
    const other = random.pick(others);
    const { from, to } = part(other, random);
    return replace(input, part(input, random), other.subarray(from, to));
  },
  (input, random, _, others) => {
    const other = random.pick(others);
    return Buffer.concat([
      input.subarray(0, random.whole(0, input.length)),
      other.subarray(random.whole(0, other.length)),
    ]);
  },
];

/** Changes an input in one to eight places. */
export function mutate(input: Buffer, random: Random, target: Target, others: readonly Buffer[]): Buffer {
  let changed = input;
  for (let left = 2 ** random.whole(0, 3); left > 0; left -= 1) {
    changed = random.pick(CHANGES)(changed, random, target, others).subarray(0, target.longest);
  }
  // What is not repaired is still tried, but less often: most of it is refused at once.
  return target.repair && random.next() < 0.9 ? target.repair(changed).subarray(0, target.longest) : changed;
}

interface Part {
  readonly from: number;
  readonly to: number;
}

/** A part of an input: mostly short ones. */
function part(input: Buffer, random: Random): Part {
  const from = random.whole(0, input.length);
  const most = Math.min(input.length - from, 2 ** random.whole(0, 10));
  return { from, to: from + random.whole(Math.min(1, most), most) };
}

function replace(input: Buffer, { from, to }: Part, by: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, from), by, input.subarray(to)]);
}

function set(input: Buffer, random: Random, change: (byte: number) => number): Buffer {
  if (input.length === 0) return Buffer.from([random.whole(0, 255)]);
  const changed = Buffer.from(input);
  const at = random.whole(0, input.length - 1);
  changed[at] = change(changed[at] ?? 0) & 0xff;
  return changed;
}
