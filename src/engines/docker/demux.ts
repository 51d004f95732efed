import { Duplex } from 'node:stream';

const HEADER_BYTES = 8;
const STDOUT = 1;

/**
 * The stdin and stdout of an exec without a terminal, as one duplex of plain bytes.
 * The engine multiplexes stdout and stderr: each piece has a header of stream (1 byte), zeros (3) and length (4).
 * See "Attach to a container" in the Docker Engine API. Stderr goes to `onStderr`.
 */
export function demultiplex(raw: Duplex, onStderr: (chunk: Buffer) => void): Duplex {
  const plain = new Duplex({
    read: () => raw.resume(),
    write: (chunk, _encoding, done) => {
      raw.write(chunk, done);
    },
    writev: (chunks, done) => {
      raw.cork();
      for (const [at, { chunk }] of chunks.entries()) raw.write(chunk, at === chunks.length - 1 ? done : undefined);
      raw.uncork();
    },
    final: (done) => {
      raw.end(done);
    },
    destroy: (error, done) => {
      raw.destroy();
      done(error);
    },
  });
  const split = createSplitter((stream, piece) => {
    if (stream !== STDOUT) onStderr(piece);
    else if (!plain.push(piece)) raw.pause();
  });
  raw.on('data', split);
  raw.on('end', () => plain.push(null));
  raw.on('error', (error) => plain.destroy(error));
  raw.on('close', () => plain.destroy());
  return plain;
}

/** Splits the engine's stream at its headers. Passes each piece on as it arrives, without collecting them. */
function createSplitter(onPiece: (stream: number, piece: Buffer) => void): (chunk: Buffer) => void {
  const header = Buffer.alloc(HEADER_BYTES);
  let headerBytes = 0;
  let remaining = 0;
  return (chunk) => {
    let offset = 0;
    while (offset < chunk.length) {
      if (remaining === 0) {
        const copied = chunk.copy(header, headerBytes, offset, offset + HEADER_BYTES - headerBytes);
        headerBytes += copied;
        offset += copied;
        if (headerBytes < HEADER_BYTES) return;
        headerBytes = 0;
        remaining = header.readUInt32BE(4);
        continue;
      }
      const piece = chunk.subarray(offset, offset + remaining);
      offset += piece.length;
      remaining -= piece.length;
      onPiece(header[0] ?? 0, piece);
    }
  };
}
