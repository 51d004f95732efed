import { parse } from 'range-parser';
import type { FileRange, OpenFile } from '../../files/session-files.ts';

/** Stands for the size of the file, which is not known before it is open. */
const ANY_SIZE = Number.MAX_SAFE_INTEGER;
/** Several ranges, which the whole file answers, and numbers beyond the size of any file. */
const NOT_ANSWERED = /,|\d{16}/;

/**
 * The part of a file that a `Range` header asks for; undefined when the whole is to be sent,
 * as it is for several ranges, other units and what is malformed.
 */
export function parseRange(header: string | undefined): FileRange | undefined {
  if (header === undefined || NOT_ANSWERED.test(header)) return undefined;
  const { type, code, ranges } = parse(ANY_SIZE, header);
  const isMalformed = (code & 1) !== 0;
  if (type !== 'bytes' || isMalformed) return undefined;
  // Only the last 0 bytes are in no file of this size.
  const { start, end } = ranges[0] ?? { start: ANY_SIZE, end: ANY_SIZE - 1 };
  if (end < ANY_SIZE - 1) return { offset: start, length: end - start + 1 };
  return start > ANY_SIZE / 2 ? { suffix: ANY_SIZE - start } : { offset: start };
}

/** Whether nothing of the file is in the range that was asked for. */
export function isOutside(range: FileRange, { entry }: OpenFile): boolean {
  if ('suffix' in range) return range.suffix === 0 || entry.size === 0;
  return (range.offset ?? 0) >= entry.size;
}
