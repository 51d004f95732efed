import type { FileRange, OpenFile } from '../../files/session-files.ts';
import { parseRange as parseByteRange } from '../../lib/byte-range.ts';

/** Placeholder for the size of the file, which is not known before the file is open. */
const ANY_SIZE = Number.MAX_SAFE_INTEGER;

/**
 * Reads a `Range` header. Undefined when the whole file is to be sent: without the header, for several ranges, for
 * other units, and for a malformed one.
 */
export function parseRange(header: string | undefined): FileRange | undefined {
  const range = parseByteRange(header, ANY_SIZE);
  if (range === undefined) return undefined;
  // Of all ranges, only the last 0 bytes do not fit a file of this size.
  const { start, end } = range === 'unsatisfiable' ? { start: ANY_SIZE, end: ANY_SIZE - 1 } : range;
  if (end < ANY_SIZE - 1) return { offset: start, length: end - start + 1 };
  return start > ANY_SIZE / 2 ? { suffix: ANY_SIZE - start } : { offset: start };
}

/** Whether the requested range has no byte of the file. */
export function isOutside(range: FileRange, { entry }: OpenFile): boolean {
  if ('suffix' in range) return range.suffix === 0 || entry.size === 0;
  return (range.offset ?? 0) >= entry.size;
}
