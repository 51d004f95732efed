import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDirectory } from './make-directory.ts';

/** Time to wait for another process that holds the lock, in milliseconds. */
const WAIT_MS = 10_000;
/** Error code of SQLite when another process holds the lock. */
const SQLITE_BUSY = 5;

/**
 * Runs `work` while no other process runs work under a lock of the same path. The lock ends with its process, too.
 * @throws Error when another process holds it for too long, or the folder cannot be written
 */
export function withFileLock<T>(path: string, work: () => T): T {
  makeDirectory(dirname(path));
  const lock = new DatabaseSync(`${path}.lock`);
  try {
    lock.exec(`PRAGMA busy_timeout = ${WAIT_MS}; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE`);
    return work();
  } finally {
    lock.close();
  }
}

/**
 * Takes the lock of a path until it is disposed of, or the process ends. Undefined if another process has it.
 * @throws Error when the folder cannot be written
 */
export function holdFileLock(path: string): Disposable | undefined {
  const lock = new DatabaseSync(`${path}.lock`);
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return { [Symbol.dispose]: () => lock.close() };
  } catch (error) {
    lock.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}
