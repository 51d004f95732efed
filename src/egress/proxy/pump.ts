import type { Readable, Writable } from 'node:stream';

/** Writes what comes from a source, as fast as it is taken. `take` returns false when there is to be no more. */
export function pump(source: Readable, sink: Writable, take: (chunk: Buffer) => boolean): void {
  const resume = () => source.resume();
  sink.on('drain', resume);
  source.on('data', (chunk: Buffer) => {
    if (take(chunk) && !sink.destroyed && !sink.write(chunk)) source.pause();
  });
  source.on('end', () => {
    if (!sink.destroyed) sink.end();
  });
}
