import { GloveboxError } from '../errors.ts';
import { encodeName, spellName } from './names.ts';

/** One thing in an archive. Anything else that a tar can hold is refused. */
export interface ArchiveEntry {
  /** Names (see names.ts) with `/` between them: relative, below the archive's top, without `.` and `..`. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link' | 'hard';
  /** Bytes of a file; 0 for the others. */
  readonly size: number;
  /** Permissions, without those that change who runs a program. */
  readonly mode: number;
  readonly modifiedMs: number;
  /** Where a symbolic link leads: relative, and within the archive. Of a hard link the path of an earlier file. */
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
  /** Of all names together; 8 MiB if left out. */
  readonly maxPathBytes?: number;
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
  /** Where symbolic links lead, and which files hard links are. */
  readonly #targets = new Map<string, string>();
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
    const path = names.join('/');
    const resolved = entry.type === 'hard' ? this.#resolve(entry) : entry;
    if (resolved.type === 'link') checkTarget(resolved, names.length - 1);
    names.pop();
    for (let folder = names; folder.length > 0; folder = folder.slice(0, -1))
      this.#enter(folder.join('/'), 'directory');
    this.#enter(path, resolved.type === 'hard' ? 'file' : resolved.type);
    if (resolved.target === undefined || resolved.target === path) this.#targets.delete(path);
    else this.#targets.set(path, resolved.target);
    return { ...resolved, path };
  }

  /** A hard link by the file that it is; one to a symbolic link is another of those. */
  #resolve(entry: ArchiveEntry): ArchiveEntry {
    const target = checkPath(entry.path, entry.target).join('/');
    const type = this.#types.get(target);
    if (type === 'link') return { ...entry, type, target: this.#targets.get(target) ?? '' };
    if (type === 'file') return { ...entry, target: this.#targets.get(target) ?? target };
    throw refused(
      entry.path,
      `is a hard link to ${quote(entry.target ?? '')}, which is no earlier file of the archive`,
    );
  }

  /** A path is one thing throughout: what is a link here and a folder there would lead where nobody looked. */
  #enter(path: string, type: ArchiveEntry['type']): void {
    const known = this.#types.get(path);
    if (known !== undefined && known !== type) throw refused(path, `is a ${known} and a ${type}`);
    this.#types.set(path, type);
  }

  #count({ path, size, target = '' }: ArchiveEntry): void {
    const { maxEntries, maxBytes, maxPathBytes = MAX_PATH_BYTES } = this.#limits;
    this.#entries += 1;
    this.#bytes += size;
    this.#pathBytes += path.length + target.length;
    if (this.#entries > maxEntries || this.#pathBytes > maxPathBytes) throw tooMuch(`${maxEntries} entries`);
    if (this.#bytes > maxBytes) throw tooMuch(`${maxBytes} bytes`);
  }
}

/** Surrogates that stand for no byte. */
const NO_NAME = /[\ud800-\udc7f\udd00-\udfff]/u;

/** The names of a path, of an entry or of what that is a hard link to. */
function checkPath(entry: string, target?: string): string[] {
  const path = target ?? entry;
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const problem = problemOf(path, names);
  if (problem === undefined) return names;
  throw refused(entry, target === undefined ? problem : `is a hard link to ${quote(target)}, which ${problem}`);
}

function problemOf(path: string, names: readonly string[]): string | undefined {
  if (path.startsWith('/')) return 'has an absolute path';
  if (path.includes('\0')) return 'has NUL in its name';
  if (NO_NAME.test(path)) return 'has a name that there cannot be';
  if (encodeName(path).length > LONGEST_PATH) return 'has too long a path';
  if (names.length > DEEPEST) return `is more than ${DEEPEST} folders deep`;
  if (names.includes('..')) return 'has ".." in its path';
  return names.some((name) => encodeName(name).length > LONGEST_NAME) ? 'has too long a name' : undefined;
}

/** Steps up count only at a target's beginning: after the name of another link they could lead anywhere. */
function checkTarget({ path, target = '' }: ArchiveEntry, depth: number): void {
  const steps = target.split('/');
  const firstDown = steps.findIndex((step) => step !== '..');
  const ups = firstDown < 0 ? steps.length : firstDown;
  const leaves = NO_NAME.test(target) || target.startsWith('/') || ups > depth || steps.slice(ups).includes('..');
  if (leaves || target === '' || target.includes('\0') || encodeName(target).length > LONGEST_PATH)
    throw refused(path, `is a link to ${quote(target)}, which leads out of the archive`);
}

export function refused(path: string, why: string): GloveboxError {
  return new GloveboxError('invalid_input', `The archive is refused: ${quote(path)} ${why}.`, {
    hint: 'An archive may hold regular files, folders, and links that stay inside it; leave out anything else.',
  });
}

function tooMuch(limit: string): GloveboxError {
  return new GloveboxError('payload_too_large', `The archive holds more than ${limit}.`, {
    hint: 'Send it in parts, or raise GLOVEBOX_DISK_MB.',
  });
}

function quote(text: string): string {
  return `"${spellName(text.length > 200 ? `${text.slice(0, 200)}…` : text).toWellFormed()}"`;
}
