import { promisify } from 'node:util';
import { constants, zstdDecompress } from 'node:zlib';
import { ByteReader } from '../tar/byte-reader.ts';

/**
 * Packed contents of a file: blocks, each with the length of a frame of zstd in 4 bytes and then the frame. A block holds
 * BLOCK_BYTES of the file, and the last one the rest. sandbox-image/runner/_glovebox/files/packing.py makes the same form.
 */
const BLOCK_BYTES = 256 * 1024;
/** Longest frame, in bytes. A block that cannot be compressed makes a frame that is a little longer than itself. */
const LONGEST_FRAME = BLOCK_BYTES + 4096;
const HEADER_BYTES = 4;

const decompress = promisify(zstdDecompress);
/** No frame may ask for more memory than a block. */
const LIMITS = { maxOutputLength: BLOCK_BYTES, params: { [constants.ZSTD_d_windowLogMax]: Math.log2(BLOCK_BYTES) } };

/**
 * Yields the packed contents of a file with `size` bytes as they are, piece by piece.
 * @throws the error of `broken` when they end too early or a frame is too long; what a frame holds is not looked at
 */
export async function* takePacked(
  bytes: ByteReader,
  size: number,
  broken: () => Error,
): AsyncGenerator<Buffer, void, undefined> {
  for (let left = size; left > 0; left -= BLOCK_BYTES) {
    const header = await bytes.take(HEADER_BYTES);
    let missing = lengthIn(header, broken);
    yield header;
    for await (const piece of bytes.stream(missing)) {
      missing -= piece.length;
      yield piece;
    }
    if (missing > 0) throw broken();
  }
}

/** Unpacks the contents of a file with `size` bytes. @throws the error of `broken` when they are damaged */
export async function* unpack(
  source: AsyncIterable<Buffer>,
  size: number,
  broken: (cause?: unknown) => Error,
): AsyncGenerator<Buffer, void, undefined> {
  const bytes = new ByteReader(source);
  for (let left = size; left > 0; left -= BLOCK_BYTES) {
    const length = lengthIn(await bytes.take(HEADER_BYTES), broken);
    const frame = await bytes.take(length);
    const block = await decompress(frame, LIMITS).catch((cause: unknown) => {
      throw broken(cause);
    });
    if (block.length !== Math.min(left, BLOCK_BYTES)) throw broken();
    yield block;
  }
  if ((await bytes.take(1)).length > 0) throw broken();
}

function lengthIn(header: Buffer, broken: () => Error): number {
  const length = header.length === HEADER_BYTES ? header.readUInt32BE() : 0;
  if (length === 0 || length > LONGEST_FRAME) throw broken();
  return length;
}
