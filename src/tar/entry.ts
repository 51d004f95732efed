import { GloveboxError } from '../errors.ts';
import { encodeName, spellName } from './names.ts';

/** An entry of an archive. Other kinds of entries that a tar can have are refused. */
export interface ArchiveEntry {
  /** Names (see names.ts) separated by `/`: relative to the top of the archive, without `.` and `..`. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'link' | 'hard';
  /** Size of a file in bytes; 0 for other entries. */
  readonly size: number;
  /** Permissions, without setuid, setgid and sticky bits. */
  readonly mode: number;
  /** Time of the last change, in milliseconds since 1970. */
  readonly modifiedMs: number;
  /** Target of a symbolic link: relative, and inside the archive. For a hard link, the path of an earlier file. */
  readonly target?: string;
}

/** An entry with the bytes of its file. Bytes that are not read before the next entry is requested are skipped. */
export interface ArchivedEntry {
  readonly entry: ArchiveEntry;
  readonly body: AsyncIterable<Buffer>;
}

export interface ArchiveLimits {
  /** Number of entries. */
  readonly maxEntries: number;
  /** Size of all files together, in bytes. */
  readonly maxBytes: number;
  /** Length of all paths and link targets together; 8 MiB by default. */
  readonly maxPathBytes?: number;
}

/** Bytes of a path. */
const LONGEST_PATH = 4096;
/** Bytes of one name in a path. */
const LONGEST_NAME = 255;
/** Names in a path. */
const DEEPEST = 64;
/** Length of all paths and link targets together. It limits the memory that an archive can make the checker use. */
const MAX_PATH_BYTES = 8 * 1024 * 1024;

/**
 * Checks the entries of an untrusted archive in their order: that none leads out of the archive, also not by an earlier
 * link, and that they are within the limits.
 */
export class EntryChecker {
  readonly #limits: ArchiveLimits;
  readonly #types = new Map<string, ArchiveEntry['type']>();
  /** Targets of symbolic links, and the original files of hard links. */
  readonly #targets = new Map<string, string>();
  #entries = 0;
  #bytes = 0;
  #pathBytes = 0;

  constructor(limits: ArchiveLimits) {
    this.#limits = limits;
  }

  /**
   * Checks an entry, and returns it with its path normalised. Undefined for the top of the archive itself.
   * @throws GloveboxError `invalid_input` or `payload_too_large`, with the path of the entry and the reason
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
      this.#recordType(folder.join('/'), 'directory');
    this.#recordType(path, resolved.type === 'hard' ? 'file' : resolved.type);
    if (resolved.target === undefined || resolved.target === path) this.#targets.delete(path);
    else this.#targets.set(path, resolved.target);
    return { ...resolved, path };
  }

  /** Replaces the target of a hard link by the original file. A hard link to a symbolic link becomes such a link. */
  #resolve(entry: ArchiveEntry): ArchiveEntry {
    const target = checkPath(entry.path, entry.target).join('/');
    const type = this.#types.get(target);
    if (type === 'link') return { ...entry, type, target: this.#targets.get(target) ?? '' };
    if (type === 'file') return { ...entry, target: this.#targets.get(target) ?? target };
    throw refused(
      entry.path,
      `is a hard link to ${quote(entry.target ?? '')}, which is not an earlier file of the archive`,
    );
  }

  /** Records the type of a path. It must not change: a folder that becomes a link could lead out of the archive. */
  #recordType(path: string, type: ArchiveEntry['type']): void {
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

/** Surrogates that do not stand for a byte. */
const INVALID_SURROGATE = /[\ud800-\udc7f\udd00-\udfff]/u;

/** Splits the path of an entry, or the target of a hard link, into names. @throws GloveboxError for an invalid path */
function checkPath(entry: string, target?: string): string[] {
  const path = target ?? entry;
  const names = path.split('/').filter((name) => name !== '' && name !== '.');
  const problem = problemOf(path, names);
  if (problem === undefined) return names;
  throw refused(entry, target === undefined ? problem : `is a hard link to ${quote(target)}, which ${problem}`);
}

function problemOf(path: string, names: readonly string[]): string | undefined {
  if (path.startsWith('/')) return 'has an absolute path';
  if (path.includes('\0')) return 'has a NUL character in its name';
  if (INVALID_SURROGATE.test(path)) return 'has a name that is not valid';
  if (encodeName(path).length > LONGEST_PATH) return 'has a path that is too long';
  if (names.length > DEEPEST) return `is more than ${DEEPEST} folders deep`;
  if (names.includes('..')) return 'has ".." in its path';
  return names.some((name) => encodeName(name).length > LONGEST_NAME) ? 'has a name that is too long' : undefined;
}

/** Checks the target of a symbolic link. `..` is allowed only at its beginning, as it could follow another link. */
function checkTarget({ path, target = '' }: ArchiveEntry, depth: number): void {
  const steps = target.split('/');
  const firstDown = steps.findIndex((step) => step !== '..');
  const stepsUp = firstDown < 0 ? steps.length : firstDown;
  const leaves =
    INVALID_SURROGATE.test(target) || target.startsWith('/') || stepsUp > depth || steps.slice(stepsUp).includes('..');
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
