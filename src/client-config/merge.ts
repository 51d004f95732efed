import { isDeepStrictEqual } from 'node:util';
import { GloveboxError } from '../errors.ts';
import type { Entry } from './connection.ts';
import { BrokenTextError, type Format, type KeyPath } from './formats/format.ts';

/** What became of an entry. `kept`: another one of that name was there, and stays. */
export type Outcome = 'added' | 'replaced' | 'same' | 'kept';

export interface Merged {
  readonly outcome: Outcome;
  readonly text: string;
}

/** Where an entry goes. */
export interface Target {
  /** File, for messages. */
  readonly file: string;
  readonly format: Format;
  readonly path: KeyPath;
}

const BYTE_ORDER_MARK = '\uFEFF';

/**
 * Puts an entry into the text of a configuration, and looks whether the result has just that besides what was there.
 * @throws GloveboxError `invalid_input` for a text that is broken, or that cannot take the entry
 */
export function mergeEntry(original: string, target: Target, entry: Entry, force: boolean): Merged {
  const mark = original.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : '';
  const text = original.slice(mark.length);
  const { format, path } = target;
  const before = read(text, target);
  const present = valueAt(before, target);
  if (isDeepStrictEqual(present, entry)) return { outcome: 'same', text: original };
  if (present !== undefined && !force) return { outcome: 'kept', text: original };
  const after = change(() => format.set(text, path, entry, present !== undefined), target, entry);
  const expected = withEntry(before, path, entry);
  if (
    !isDeepStrictEqual(
      change(() => format.parse(after), target, entry),
      expected,
    )
  )
    throw cannotTake(target, entry);
  return { outcome: present === undefined ? 'added' : 'replaced', text: mark + after };
}

function read(text: string, { file, format }: Target): unknown {
  try {
    return format.parse(text);
  } catch (cause) {
    if (!(cause instanceof BrokenTextError)) throw cause;
    throw new GloveboxError('invalid_input', `${file}:${cause.line}:${cause.column} is broken: ${cause.message}.`, {
      hint: 'It was left as it is. Correct it there, then run this again.',
      cause,
    });
  }
}

/** @throws GloveboxError where something else than a map is above the entry */
function valueAt(root: unknown, { file, path }: Target): unknown {
  let value = root;
  for (const [depth, key] of path.entries()) {
    // A key of YAML without a value.
    if (value === undefined || (value === null && depth > 0)) return undefined;
    if (!isMap(value)) {
      const what = depth === 0 ? 'The file' : `"${path.slice(0, depth).join('.')}"`;
      throw new GloveboxError('invalid_input', `${what} of ${file} holds no names with values.`, {
        hint: 'It was left as it is. Correct it there, then run this again.',
      });
    }
    value = Object.hasOwn(value, key) ? value[key] : undefined;
  }
  return value;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withEntry(root: unknown, [key, ...rest]: KeyPath, entry: Entry): unknown {
  if (key === undefined) return entry;
  const map = isMap(root) ? root : {};
  return { ...map, [key]: withEntry(map[key], rest, entry) };
}

function change<T>(run: () => T, target: Target, entry: Entry): T {
  try {
    return run();
  } catch (cause) {
    throw cannotTake(target, entry, cause);
  }
}

function cannotTake({ file, format, path }: Target, entry: Entry, cause?: unknown): GloveboxError {
  return new GloveboxError('invalid_input', `${file} is written in a way that this program cannot change safely.`, {
    hint: `It was left as it is. Put this in by hand:\n\n${format.print(path, entry)}`,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The entry alone, as a whole configuration. */
export function printEntry({ format, path }: Pick<Target, 'format' | 'path'>, entry: Entry): string {
  return format.print(path, path.length === 0 ? [entry] : entry);
}
