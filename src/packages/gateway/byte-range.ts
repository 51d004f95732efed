import { parse, type Range } from 'range-parser';

/** Several ranges, which the whole file answers, and numbers beyond the size of any file. */
const NOT_ANSWERED = /,|\d{16}/;

/**
 * The one range that a `Range` header asks of `size` bytes (RFC 9110, 14.1.2), its end included. Undefined when there is
 * none, or one of another form or several, which the whole file answers as well; `unsatisfiable` beyond the end.
 */
export function parseRange(header: string | undefined, size: number): Range | 'unsatisfiable' | undefined {
  if (header === undefined || NOT_ANSWERED.test(header)) return undefined;
  const { type, code, ranges } = parse(size, header);
  const isMalformed = (code & 1) !== 0;
  return type !== 'bytes' || isMalformed ? undefined : (ranges[0] ?? 'unsatisfiable');
}
