import { type Pack, pack } from 'tar-stream';
import type { ArchivedEntry } from './entry.ts';

const TYPES = { file: 'file', directory: 'directory', link: 'symlink' } as const;

/** A tar (ustar, with pax headers where they are needed) of the entries, which have been checked. Owner and group are nobody's. */
export async function* writeTar(entries: AsyncIterable<ArchivedEntry>): AsyncGenerator<Buffer, void, undefined> {
  const tar = pack();
  const feeding = feed(entries, tar).catch((error: Error) => tar.destroy(error));
  try {
    yield* tar as AsyncIterable<Buffer>;
  } finally {
    tar.destroy();
    await feeding;
  }
}

async function feed(entries: AsyncIterable<ArchivedEntry>, tar: Pack): Promise<void> {
  const closed = new Promise<void>((resolve) => void tar.once('close', () => resolve()));
  for await (const { entry, body } of entries) {
    const { path, type, size, mode, modifiedMs, target } = entry;
    const name = type === 'directory' ? `${path}/` : path;
    const header = { name, type: TYPES[type], size, mode, mtime: new Date(modifiedMs) };
    const sink = tar.entry(target === undefined ? header : { ...header, linkname: target });
    sink.on('error', () => {}); // The tar ends with the same error.
    if (type === 'file') {
      for await (const piece of body) {
        if (!sink.write(piece)) await Promise.race([drained(sink), closed]);
        if (tar.destroying) return;
      }
    }
    sink.end(null);
  }
  tar.finalize();
}

function drained(sink: ReturnType<Pack['entry']>): Promise<void> {
  return new Promise((resolve) => void sink.once('drain', () => resolve()));
}
