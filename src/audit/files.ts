import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { AuditLine, Chain } from './chain.ts';

/** Bytes that a line has at most. */
const LONGEST_LINE = 4 * 2 ** 20;
const NEWLINE = 0x0a;

/** The end of a file. */
export interface Tail {
  readonly size: number;
  /** Bytes after the end of the last whole line. */
  readonly halfLine: Buffer;
  /** Last whole line. Undefined if there is none, or if it is none of an audit log. */
  readonly last: AuditLine | undefined;
}

/** Reads the end of an open file. */
export async function readTail(handle: FileHandle, chain: Chain): Promise<Tail> {
  const { size } = await handle.stat();
  const buffer = Buffer.alloc(Math.min(size, LONGEST_LINE));
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, size - buffer.length);
  const bytes = buffer.subarray(0, bytesRead);
  const end = bytes.lastIndexOf(NEWLINE);
  const begin = end <= 0 ? 0 : bytes.lastIndexOf(NEWLINE, end - 1) + 1;
  const last = end < 0 ? undefined : chain.read(bytes.toString('utf8', begin, end));
  return { size, halfLine: bytes.subarray(end + 1), last };
}

/** Numbers of the earlier files of a log, the newest first: `audit.jsonl.1`, `audit.jsonl.2`, … */
export async function earlierFiles(path: string): Promise<number[]> {
  const start = `${basename(path)}.`;
  const names = await readdir(dirname(path));
  return names
    .filter((name) => name.startsWith(start) && /^[1-9]\d{0,8}$/.test(name.slice(start.length)))
    .map((name) => Number(name.slice(start.length)))
    .sort((one, other) => one - other);
}

export function earlierFile(path: string, number: number): string {
  return join(dirname(path), `${basename(path)}.${number}`);
}

/** Last line of an earlier file. Undefined if it cannot be read. */
export async function lastOf(path: string, chain: Chain): Promise<AuditLine | undefined> {
  const handle = await open(path, 'r');
  try {
    return (await readTail(handle, chain)).last;
  } finally {
    await handle.close();
  }
}

/** Makes the file of a log the first of the earlier ones, and removes those beyond the number that is kept. */
export async function shiftFiles(path: string, kept: number): Promise<void> {
  const numbers = await earlierFiles(path);
  for (const number of numbers.toReversed()) {
    if (number >= kept) await rm(earlierFile(path, number));
    else await rename(earlierFile(path, number), earlierFile(path, number + 1));
  }
  await rename(path, earlierFile(path, 1));
}
