import { randomFillSync } from 'node:crypto';

/** Random bytes are made ahead for many ids: to ask for a few costs as much as to ask for many. */
const pool = Buffer.alloc(4096);
let used = pool.length;

/** An id of so many random bytes that cannot be guessed, in base64url. */
export function randomId(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const id = pool.toString('base64url', used, used + bytes);
  pool.fill(0, used, used + bytes);
  used += bytes;
  return id;
}
