import { parse, type Range } from 'range-parser';

/** Headers that are ignored: several ranges, and numbers beyond the size of any file. */
const IGNORED = /,|\d{16}/;

/**
 * Reads a `Range` header with a single range (RFC 9110, 14.1.2), for a file of `size` bytes. `end` is inclusive.
 * Undefined when the whole file is to be sent: without the header, for several ranges, and for a malformed one.
 * `unsatisfiable` when the range begins after the end of the file.
 */
export function parseRange(header: string | undefined, size: number): Range | 'unsatisfiable' | undefined {
  if (header === undefined || IGNORED.test(header)) return undefined;
  const { type, code, ranges } = parse(size, header);
  const isMalformed = (code & 1) !== 0;
  return type !== 'bytes' || isMalformed ? undefined : (ranges[0] ?? 'unsatisfiable');
}
