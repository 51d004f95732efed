import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDirectory } from './make-directory.ts';

/** Time to wait for another process that holds the lock, in milliseconds. */
const WAIT_MS = 10_000;

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
