import { GloveboxError } from '../errors.ts';

/** One thing in an archive. Anything else that a tar can hold is refused. */
export interface ArchiveEntry {
  /** Names with `/` between them: relative, below the archive's top, without `.` and `..`. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link';
  /** Bytes of a file; 0 for the others. */
  readonly size: number;
  /** Permissions, without those that change who runs a program. */
  readonly mode: number;
  readonly modifiedMs: number;
  /** Where a symbolic link leads: relative, and within the archive. */
  readonly target?: string;
}

/** An entry with the bytes of its file. They are to be taken before the next entry is asked for, or are skipped. */
export interface ArchivedEntry {
  readonly entry: ArchiveEntry;
  readonly body: AsyncIterable<Buffer>;
}

export interface ArchiveLimits {
  readonly maxEntries: number;
  /** Of all files together. */
  readonly maxBytes: number;
}

const LONGEST_PATH = 4096;
const LONGEST_NAME = 255;
const DEEPEST = 64;
/** Of all entries together: what is remembered of each must not grow with what a stranger sends. */
const MAX_PATH_BYTES = 8 * 1024 * 1024;

/**
 * Checks the entries of an archive that a stranger made, one after the other: where they lead, also by way of links that
 * came before them, and how much they are in all.
 */
export class EntryChecker {
  readonly #limits: ArchiveLimits;
  readonly #types = new Map<string, ArchiveEntry['type']>();
  #entries = 0;
  #bytes = 0;
  #pathBytes = 0;

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  /**
   * The entry with its path in the one form that there is of it; undefined for the archive's own top.
   * @throws GloveboxError `invalid_input` or `payload_too_large`, which says for which entry and why.
   */
  check(entry: ArchiveEntry): ArchiveEntry | undefined {
    const names = checkPath(entry.path);
    this.#count(entry);
    if (names.length === 0) {
      if (entry.type === 'directory') return undefined;
      throw refused(entry.path, 'has no name');
    }
    if (entry.type === 'link') checkTarget(entry, names.length - 1);
    const path = names.join('/');
    names.pop();
    for (let folder = names; folder.length > 0; folder = folder.slice(0, -1))
      this.#enter(folder.join('/'), 'directory');
    this.#enter(path, entry.type);
    return { ...entry, path };
  }

  /** A path is one thing throughout: what is a link here and a folder there would lead where nobody looked. */
  #enter(path: string, type: ArchiveEntry['type']): void {
    const known = this.#types.get(path);
    if (known !== undefined && known !== type) throw refused(path, `is a ${known} and a ${type}`);
    this.#types.set(path, type);
  }

  #count({ path, size }: ArchiveEntry): void {
    const { maxEntries, maxBytes } = this.#limits;
    this.#entries += 1;
    this.#bytes += size;
    this.#pathBytes += path.length;
    if (this.#entries > maxEntries || this.#pathBytes > MAX_PATH_BYTES) throw tooMuch(`${maxEntries} entries`);
    if (this.#bytes > maxBytes) throw tooMuch(`${maxBytes} bytes`);
  }
}

function checkPath(path: string): string[] {
  if (path.startsWith('/')) throw refused(path, 'has an absolute path');
  if (path.includes('\0')) throw refused(path, 'has NUL in its name');
  if (Buffer.byteLength(path) > LONGEST_PATH) throw refused(path, 'has too long a path');
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  if (names.length > DEEPEST) throw refused(path, `is more than ${DEEPEST} folders deep`);
  for (const name of names) {
    if (name === '..') throw refused(path, 'has ".." in its path');
    if (Buffer.byteLength(name) > LONGEST_NAME) throw refused(path, 'has too long a name');
  }
  return names;
}

/** Steps up count only at a target's beginning: after the name of another link they could lead anywhere. */
function checkTarget({ path, target = '' }: ArchiveEntry, depth: number): void {
  const steps = target.split('/');
  const firstDown = steps.findIndex((step) => step !== '..');
  const ups = firstDown < 0 ? steps.length : firstDown;
  const leaves = target.startsWith('/') || ups > depth || steps.slice(ups).includes('..');
  if (leaves || target === '' || target.includes('\0') || Buffer.byteLength(target) > LONGEST_PATH)
    throw refused(path, `is a link to ${quote(target)}, which leads out of the archive`);
}

export function refused(path: string, why: string): GloveboxError {
  return new GloveboxError('invalid_input', `The archive is refused: ${quote(path)} ${why}.`, {
    hint: 'An archive may hold regular files, folders, and symbolic links that stay inside it; leave out anything else.',
  });
}

function tooMuch(limit: string): GloveboxError {
  return new GloveboxError('payload_too_large', `The archive holds more than ${limit}.`, {
    hint: 'Send it in parts, or raise GLOVEBOX_DISK_MB.',
  });
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
