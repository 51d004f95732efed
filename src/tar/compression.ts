import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { GloveboxError } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';
import { BLOCK, notTar, parseHeader } from './header.ts';

/** First bytes of compressed files and of other archive formats. */
const KINDS: readonly (readonly [name: string, hex: string])[] = [
  ['gzip', '1f8b'],
  ['bzip2', '425a68'],
  ['xz', 'fd377a585a00'],
  ['zstd', '28b52ffd'],
  ['LZ4', '04224d18'],
  ['compress', '1f9d'],
  ['zip', '504b0304'],
  ['7z', '377abcaf271c'],
  ['RAR', '526172211a'],
];

/**
 * Yields the bytes of a tar, decompressed if it is in gzip.
 * @throws GloveboxError `invalid_input` for another compression, `payload_too_large` for more than `maxBytes` bytes;
 *   errors of the source
 */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const bytes = new ByteReader(source);
  try {
    const head = await bytes.take(BLOCK);
    const kind = kindOf(head);
    if (kind === 'gzip') yield* gunzip(head, bytes, maxBytes);
    else if (kind !== undefined) throw notTar(`it is compressed as ${kind}; only gzip is accepted`);
    else {
      yield head;
      yield* bytes.stream(Number.POSITIVE_INFINITY);
    }
  } finally {
    await bytes.close();
  }
}

/** The compression or format of a file, by its first block. Undefined for a tar that is not compressed. */
function kindOf(head: Buffer): string | undefined {
  const start = head.toString('hex', 0, 6);
  const kind = KINDS.find(([, hex]) => start.startsWith(hex))?.[0];
  // A tar begins with the name of its first file, which may look like a compressed file: "BZhang.txt".
  return kind !== undefined && kind !== 'gzip' && isHeader(head) ? undefined : kind;
}

function isHeader(block: Buffer): boolean {
  if (block.length < BLOCK) return false;
  try {
    parseHeader(block);
    return true;
  } catch {
    return false;
  }
}

async function* gunzip(head: Buffer, bytes: ByteReader, maxBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  let failure: unknown;
  async function* all(): AsyncGenerator<Buffer> {
    try {
      yield head;
      yield* bytes.stream(Number.POSITIVE_INFINITY);
    } catch (error) {
      failure = error;
      throw error;
    }
  }
  const unzip = createGunzip();
  const feeding = pipeline(all(), unzip);
  feeding.catch(() => {}); // The reader gets the error.
  let size = 0;
  try {
    for await (const piece of unzip as AsyncIterable<Buffer>) {
      size += piece.length;
      if (size > maxBytes) throw tooLarge(maxBytes);
      yield piece;
    }
  } catch (error) {
    throw error instanceof GloveboxError ? error : (failure ?? notTar('its gzip data is damaged or incomplete', error));
  } finally {
    unzip.destroy();
    await feeding.catch(() => {});
  }
}

function tooLarge(maxBytes: number): GloveboxError {
  return new GloveboxError('payload_too_large', `The archive is larger than ${maxBytes} bytes when unpacked.`, {
    hint: 'Send it in parts, or raise GLOVEBOX_DISK_MB.',
  });
}
