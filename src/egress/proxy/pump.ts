import type { Readable, Writable } from 'node:stream';
import { freePiece } from '../../lib/owned-memory.ts';
import { lasting } from '../../lib/reused-memory.ts';

/**
 * Writes what comes from a source, as fast as it is taken.
 * @param take returns false when there is to be no more
 * @param isSole whether nothing else has the memory of what comes, so that it can be freed when it is written
 */
export function pump(
  source: Readable,
  sink: Writable,
  take: (chunk: Buffer) => boolean,
  { isSole = false }: { readonly isSole?: boolean } = {},
): void {
  const resume = () => source.resume();
  sink.on('drain', resume);
  source.on('data', (chunk: Buffer) => {
    if (!take(chunk) || sink.destroyed) return;
    const piece = lasting(chunk);
    const isTaken = isSole ? sink.write(piece, () => freePiece(piece)) : sink.write(piece);
    if (!isTaken) source.pause();
  });
  source.on('end', () => {
    if (!sink.destroyed) sink.end();
  });
}
