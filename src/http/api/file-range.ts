import type { FileRange, OpenFile } from '../../files/session-files.ts';

/**
 * The part of a file that a `Range` header asks for; undefined when the whole is to be sent,
 * as it is for several ranges, other units and what is malformed.
 */
export function parseRange(header: string | undefined): FileRange | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.replaceAll(' ', '') ?? '') ?? [];
  if (first === undefined || last === undefined) return undefined;
  if (first === '') return last === '' ? undefined : { suffix: Number(last) };
  if (last === '') return { offset: Number(first) };
  return Number(last) < Number(first) ? undefined : { offset: Number(first), length: Number(last) - Number(first) + 1 };
}

/** Whether nothing of the file is in the range that was asked for. */
export function isOutside(range: FileRange, { entry }: OpenFile): boolean {
  if ('suffix' in range) return range.suffix === 0 || entry.size === 0;
  return (range.offset ?? 0) >= entry.size;
}
