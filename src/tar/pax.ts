import { notTar } from './header.ts';

/** A part of a sparse file that is stored, as opposed to a hole. Both fields are in bytes. */
export interface Fragment {
  readonly offset: number;
  readonly length: number;
}

/** Extended attributes of an entry, by key. Values are bytes, because file names may be any bytes. */
export interface PaxRecords {
  readonly values: ReadonlyMap<string, Buffer>;
  /** Fragments of a sparse file whose map is stored as repeated records, in their order. */
  readonly fragments: readonly Fragment[];
}

export const NO_RECORDS: PaxRecords = { values: new Map(), fragments: [] };
/** Bytes of a key. */
const LONGEST_KEY = 256;

/**
 * Reads pax records and adds them to earlier ones.
 * @throws GloveboxError `invalid_input` when the data is not a list of records
 */
export function parsePax(data: Buffer, former: PaxRecords = NO_RECORDS): PaxRecords {
  const values = new Map(former.values);
  const fragments: Fragment[] = [];
  let offset: number | undefined;
  for (let at = 0; at < data.length && data[at] !== 0; ) {
    const { key, value, end } = parseRecord(data, at);
    at = end;
    if (key === 'GNU.sparse.offset') offset = parseCount(value);
    else if (key === 'GNU.sparse.numbytes') {
      if (offset === undefined) throw notTar('it is malformed');
      fragments.push({ offset, length: parseCount(value) });
    } else values.set(key, value);
  }
  return { values, fragments };
}

/** Reads a record of the form `LENGTH KEY=VALUE\n`, where LENGTH is the length of the whole record. */
function parseRecord(data: Buffer, at: number): { key: string; value: Buffer; end: number } {
  const space = data.indexOf(32, at);
  const length = space < 0 || space - at > 10 ? 0 : parseCount(data.subarray(at, space));
  const end = at + length;
  const equals = data.indexOf(61, space);
  const isWhole = length > 0 && end <= data.length && data[end - 1] === 10;
  if (!isWhole || equals < 0 || equals >= end || equals - space > LONGEST_KEY) throw notTar('it is malformed');
  return { key: data.toString('latin1', space + 1, equals), value: data.subarray(equals + 1, end - 1), end };
}

/** Reads a decimal number. @throws GloveboxError `invalid_input` for any other text, and for a number beyond 2^53 */
export function parseCount(text: Buffer): number {
  const digits = text.toString('latin1');
  const count = /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!Number.isSafeInteger(count)) throw notTar('it is malformed');
  return count;
}

/** Reads a time in seconds, with an optional fraction. Undefined for any other text. */
export function parseTime(text: Buffer | undefined): number | undefined {
  const written = text?.toString('latin1') ?? '';
  return /^-?\d{1,15}(\.\d*)?$/.test(written) ? Number(written) : undefined;
}
