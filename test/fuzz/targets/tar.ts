import { deepEqual, ok } from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { GloveboxError } from '../../../src/errors.ts';
import type { ArchiveEntry } from '../../../src/tar/entry.ts';
import { BLOCK } from '../../../src/tar/header.ts';
import { decodeName, encodeName, spellName } from '../../../src/tar/names.ts';
import { readTar } from '../../../src/tar/reader.ts';
import { writeTar } from '../../../src/tar/writer.ts';
import { cut, stream, type Target } from '../target.ts';

const LIMITS = { maxEntries: 64, maxBytes: 256 * 1024, maxPathBytes: 16 * 1024 };
const CHECKSUM = { from: 148, to: 156 };

/** Archives that callers and sandboxes send. */
export const tar: Target = {
  name: 'tar',
  longest: 8 * 1024,
  words: [
    ...'01234567gxXLKVASDM'.split(''),
    'ustar\x0000',
    'ustar  \0',
    'tar\0',
    '../',
    '/',
    './',
    '\0',
    '\x80\0\0\0\0\0\0\0\0\0\0\x01',
    Buffer.alloc(8, 0xff),
    '20 path=aaaaaaaaaaa\n',
    '16 linkpath=../\n',
    '12 size=300\n',
    '22 GNU.sparse.major=1\n',
    '22 GNU.sparse.minor=0\n',
    '25 GNU.sparse.name=a/b/c\n',
    '28 GNU.sparse.realsize=4096\n',
    '24 GNU.sparse.size=4096\n',
    '27 GNU.sparse.map=0,1,2,10\n',
    '1\n0\n512\n',
    Buffer.alloc(2 * BLOCK),
    Buffer.from('1f8b08000000000000ff', 'hex'),
  ],
  repair: withChecksums,
  async run(input) {
    const whole = await read([input]);
    const pieces = await read(cut(input));
    if (input[0] === 0x1f && input[1] === 0x8b) {
      // How much of damaged gzip data comes out before the error depends on the pieces.
      deepEqual(pieces.end === '', whole.end === '', 'cut into pieces, it ends otherwise');
      return;
    }
    deepEqual(pieces, whole, 'cut into pieces, the entries are others');
    const bodiless = await read([input], false);
    // What is left unread is skipped: the same entries, and the same end but for what only reading finds.
    deepEqual(bodiless.entries.slice(0, whole.entries.length), whole.entries);
    const zipped = await read(cut(gzipSync(input)));
    deepEqual({ ...zipped, end: zipped.end === '' }, { ...whole, end: whole.end === '' }, 'in gzip it is another');
    for (const entry of whole.entries) checkEntry(entry);
    if (whole.end === '') await rewrite(input, whole);
  },
};

/** Sets the checksum of each block that looks like a header, which every change breaks. */
function withChecksums(input: Buffer): Buffer {
  const length = Math.max(BLOCK, Math.floor(input.length / BLOCK) * BLOCK);
  const repaired = Buffer.alloc(length);
  input.copy(repaired);
  for (let at = 0; at < length; at += BLOCK) {
    const block = repaired.subarray(at, at + BLOCK);
    // Headers have an octal checksum, or an "ustar" of any kind; contents of files mostly have neither.
    const isHeader = block.toString('latin1', 257, 262) === 'ustar' || (at === 0 && block.some((byte) => byte > 0));
    if (!isHeader) continue;
    block.fill(32, CHECKSUM.from, CHECKSUM.to);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM.from, 'latin1');
  }
  return repaired;
}

interface Found {
  readonly entries: readonly ArchiveEntry[];
  readonly bodies: readonly string[];
  /** The error that it ended with; empty if none. */
  readonly end: string;
}

async function read(pieces: Iterable<Buffer>, withBodies = true): Promise<Found> {
  const [entries, bodies]: [ArchiveEntry[], string[]] = [[], []];
  try {
    for await (const { entry, body } of readTar(stream(pieces), LIMITS)) {
      entries.push(entry);
      if (!withBodies) continue;
      let [text, size] = ['', 0];
      for await (const piece of body) {
        size += piece.length;
        text += piece.toString('hex');
      }
      // A folder of GNU tar's incremental format has content, which nobody wants.
      if (entry.type === 'directory') text = '';
      else ok(size === entry.size, `${size} bytes of a file of ${entry.size}`);
      bodies.push(text);
    }
    return { entries, bodies, end: '' };
  } catch (error) {
    ok(error instanceof GloveboxError, `${error instanceof Error ? error.stack : error}`);
    ok(error.code === 'invalid_input' || error.code === 'payload_too_large', error.message);
    ok(error.message.isWellFormed() && error.message.length < 2000, 'a message that cannot be sent');
    return { entries, bodies, end: error.message };
  }
}

function checkEntry({ path, type, size, mode, modifiedMs, target }: ArchiveEntry): void {
  const names = path.split('/');
  ok(names.every((name) => name !== '' && name !== '.' && name !== '..') && !path.includes('\0'), `path ${path}`);
  ok(encodeName(path).length <= 4096 && decodeName(encodeName(path)) === path, 'a path that does not come back');
  ok(spellName(path).isWellFormed());
  ok(
    Number.isSafeInteger(size) && size >= 0 && size <= LIMITS.maxBytes && (type === 'file' || size === 0),
    `size ${size}`,
  );
  ok((mode & ~0o777) === 0 && Number.isSafeInteger(modifiedMs) && modifiedMs >= 0, `mode ${mode}, time ${modifiedMs}`);
  ok((target === undefined) === (type === 'file' || type === 'directory'), `a ${type} to ${target}`);
  if (type === 'link') ok(leadsInside(names.length - 1, target ?? ''), `${path} -> ${target}`);
}

/** Whether a link in a folder at this depth stays in the archive. */
function leadsInside(depth: number, target: string): boolean {
  if (target.startsWith('/')) return false;
  let at = depth;
  for (const step of target.split('/')) {
    if (step === '..') at -= 1;
    else if (step !== '' && step !== '.') at += 1;
    if (at < 0) return false;
  }
  return true;
}

/** What was read is written and read again: nothing of it may change but times below a second. */
async function rewrite(input: Buffer, { entries, bodies }: Found): Promise<void> {
  const written: Buffer[] = [];
  for await (const piece of writeTar(readTar(stream([input]), LIMITS))) written.push(Buffer.from(piece));
  const again = await read(written);
  const inSeconds = (all: readonly ArchiveEntry[]) =>
    all.map((entry) => ({ ...entry, modifiedMs: Math.floor(entry.modifiedMs / 1000) }));
  deepEqual({ ...again, entries: inSeconds(again.entries) }, { entries: inSeconds(entries), bodies, end: '' });
}
