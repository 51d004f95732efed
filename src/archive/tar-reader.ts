import { pipeline } from 'node:stream/promises';
import { extract, type Header } from 'tar-stream';
import { GloveboxError } from '../errors.ts';
import { type ArchivedEntry, type ArchiveEntry, type ArchiveLimits, EntryChecker, refused } from './entry.ts';

const BLOCK = 512;
const LATEST_MS = Date.UTC(9999, 11, 31);
/** What stands in a decoded name for bytes that are no UTF-8. */
const REPLACEMENT = '\ufffd';

/**
 * The entries of a tar (ustar, GNU or pax) that a stranger made; each is checked before it is handed on.
 * Of a hard link, a device, a sparse file or anything else out of the ordinary nothing is taken.
 * @throws GloveboxError `invalid_input` or `payload_too_large`; what the source throws
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  limits: ArchiveLimits,
): AsyncGenerator<ArchivedEntry, void, undefined> {
  const checker = new EntryChecker(limits);
  const whole = new WholeTar(source);
  // For tars older than POSIX; the types do not know of it.
  const tar = extract({ allowUnknownFormat: true } as object);
  const feeding = pipeline(whole.bytes(), tar);
  feeding.catch(() => {}); // Whoever reads the entries hears of it.
  try {
    for await (const found of tar) {
      const entry = checker.check(toEntry(found.header));
      if (entry) yield { entry, body: whole.explain(found as AsyncIterable<Buffer>) };
      found.resume();
    }
    await feeding;
  } catch (error) {
    throw error instanceof GloveboxError ? error : (whole.failure ?? notTar('it is malformed', error));
  } finally {
    tar.destroy();
  }
}

/** Passes bytes on and sees to it that they end as a tar does: the parser takes one that is cut between two entries. */
class WholeTar {
  /** What the source threw, or that it ended too early. */
  failure: unknown;
  readonly #source: AsyncIterable<Uint8Array>;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  async *bytes(): AsyncGenerator<Uint8Array, void, undefined> {
    let [size, zeros] = [0, 0];
    try {
      for await (const chunk of this.#source) {
        const other = chunk.findLastIndex((byte) => byte !== 0);
        zeros = other < 0 ? zeros + chunk.length : chunk.length - 1 - other;
        size += chunk.length;
        yield chunk;
      }
      if (zeros < BLOCK || size % BLOCK > 0) throw notTar('it ends too early');
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }

  /** The bytes of a file in it, whose stream does not tell why it was cut off: that it was destroyed is all it says. */
  async *explain(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    try {
      yield* body;
    } catch (error) {
      throw this.failure ?? error;
    }
  }
}

const WHAT: Readonly<Record<string, string>> = {
  link: 'is a hard link',
  'character-device': 'is a device',
  'block-device': 'is a device',
  fifo: 'is a FIFO',
};

function toEntry({ name: path, type, size, mode, mtime, linkname, pax }: Header): ArchiveEntry {
  if (path.includes(REPLACEMENT) || linkname?.includes(REPLACEMENT)) throw notTar('a name in it is not UTF-8');
  if (Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse'))) throw refused(path, 'is a sparse file');
  if (!Number.isSafeInteger(size)) throw refused(path, 'has no sensible size');
  const time = mtime.getTime();
  const modifiedMs = Number.isFinite(time) ? Math.min(LATEST_MS, Math.max(0, time)) : 0;
  const common = { path, mode: mode & 0o777, modifiedMs };
  if (type === 'file' || type === 'contiguous-file') return { ...common, type: 'file', size };
  if (size !== 0) throw refused(path, 'has bytes that it may not have');
  if (type === 'directory') return { ...common, type, size: 0 };
  if (type === 'symlink') return { ...common, type: 'link', size: 0, target: linkname };
  throw refused(path, WHAT[type] ?? 'is of a kind that is not taken');
}

function notTar(why: string, cause?: unknown): GloveboxError {
  return new GloveboxError('invalid_input', `This is not a tar that can be taken: ${why}.`, {
    hint: 'Send an uncompressed tar of regular files, folders and links, such as `tar -c` makes.',
    ...(cause === undefined ? {} : { cause }),
  });
}
