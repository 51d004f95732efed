import { parse } from 'range-parser';
import type { FileRange, OpenFile } from '../../files/session-files.ts';

/** Placeholder for the size of the file, which is not known before the file is open. */
const ANY_SIZE = Number.MAX_SAFE_INTEGER;
/** Headers that are ignored: several ranges, and numbers beyond the size of any file. */
const IGNORED = /,|\d{16}/;

/**
 * Reads a `Range` header. Undefined when the whole file is to be sent: without the header, for several ranges, for
 * other units, and for a malformed one.
 */
export function parseRange(header: string | undefined): FileRange | undefined {
  if (header === undefined || IGNORED.test(header)) return undefined;
  const { type, code, ranges } = parse(ANY_SIZE, header);
  const isMalformed = (code & 1) !== 0;
  if (type !== 'bytes' || isMalformed) return undefined;
  // Of all ranges, only the last 0 bytes do not fit a file of this size.
  const { start, end } = ranges[0] ?? { start: ANY_SIZE, end: ANY_SIZE - 1 };
  if (end < ANY_SIZE - 1) return { offset: start, length: end - start + 1 };
  return start > ANY_SIZE / 2 ? { suffix: ANY_SIZE - start } : { offset: start };
}

/** Whether the requested range has no byte of the file. */
export function isOutside(range: FileRange, { entry }: OpenFile): boolean {
  if ('suffix' in range) return range.suffix === 0 || entry.size === 0;
  return (range.offset ?? 0) >= entry.size;
}
