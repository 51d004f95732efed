import { Duplex, pipeline, type Transform } from 'node:stream';
import zlib from 'node:zlib';
import { InjectionFailure } from '../injector.ts';

/** Encodings one within the other. More are of nobody who means well. */
const MOST_ENCODINGS = 2;

/** Largest window that zstd may ask memory for, as a power of two: what HTTP allows (RFC 9659). */
const ZSTD_WINDOW = 23;

/** Decoders by the name of the encoding. */
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: () => zlib.createGunzip(),
  'x-gzip': () => zlib.createGunzip(),
  deflate: () => zlib.createInflate(),
  br: () => zlib.createBrotliDecompress(),
  // Node 22.15 is the first to have it.
  ...('createZstdDecompress' in zlib
    ? { zstd: () => zlib.createZstdDecompress({ params: { [zlib.constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW } }) }
    : {}),
};

/**
 * Returns a stream that decodes what is written, and passes it through another.
 * @param encodings the last one first
 * @throws InjectionFailure for an encoding that is not known
 */
export function decoding(encodings: readonly string[], last: Duplex): Duplex {
  if (encodings.length > MOST_ENCODINGS) throw unreadable(`${encodings.length} encodings`);
  const [first, ...others] = encodings.map((encoding) => {
    const make = Object.hasOwn(DECODERS, encoding) ? DECODERS[encoding] : undefined;
    if (!make) throw unreadable(`the encoding ${JSON.stringify(encoding.slice(0, 32))}`);
    return make();
  });
  if (!first) return last;
  // An error destroys all of them, and is told by the last.
  pipeline([first, ...others, last], () => {});
  return Duplex.from({ writable: first, readable: last });
}

function unreadable(what: string): InjectionFailure {
  return new InjectionFailure(
    `The answer has ${what}, in which a secret could not be found. It was asked for without an encoding.`,
  );
}
