import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { undefinedIfMissing } from '../lib/read-if-present.ts';
import type { BegunCall, CallBefore } from './state.ts';

/** Time for which a call is known, in milliseconds. */
const KEPT_MS = 60 * 60 * 1000;
/** Calls that are known. Beyond that, the oldest are forgotten. */
const MOST_CALLS = 10_000;
/** Shortest time between two looks for what is to be forgotten, in milliseconds. */
const SWEEP_EVERY_MS = 10 * 60 * 1000;

/**
 * Calls with an idempotency key that have begun, each a small file of a folder, with the hash of the call. The next process
 * knows them, however this one ends. The folder is made with the first of them.
 */
export class BegunCalls {
  readonly #folder: string;
  #sweptAt = Number.NEGATIVE_INFINITY;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Writes down, synchronously, that a call begins. Returns the one that began before, if there is one. */
  begin({ owner, key, fingerprint }: BegunCall): CallBefore | undefined {
    this.#sweepNowAndThen();
    const path = this.#pathOf(owner, key);
    const before = readIfFresh(path);
    // An empty one was being written when its process ended, so its call had not begun.
    if (before) return { fingerprint: before };
    writeFileSync(path, fingerprint, { mode: 0o600 });
    return undefined;
  }

  forget(owner: string, key: string): void {
    rmSync(this.#pathOf(owner, key), { force: true });
  }

  /** Forgets what began long ago. @throws Error of the file system */
  async sweep(): Promise<void> {
    const paths = (await readdir(this.#folder)).map((name) => join(this.#folder, name));
    const found: { readonly path: string; readonly at: number }[] = [];
    for (const path of paths) {
      const at = (await stat(path).catch(() => undefined))?.mtimeMs;
      if (at !== undefined) found.push({ path, at });
    }
    const now = Date.now();
    for (const [index, { path, at }] of found.sort((a, b) => b.at - a.at).entries())
      if (index >= MOST_CALLS || now - at > KEPT_MS) await unlink(path).catch(() => {});
  }

  #sweepNowAndThen(): void {
    const now = performance.now();
    if (now - this.#sweptAt < SWEEP_EVERY_MS) return;
    this.#sweptAt = now;
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    // What cannot be removed now is with the next look.
    void this.sweep().catch(() => {});
  }

  #pathOf(owner: string, key: string): string {
    return join(this.#folder, createHash('sha256').update(`${owner}\0${key}`).digest('hex').slice(0, 32));
  }
}

/** Reads a file, unless it is too old. */
function readIfFresh(path: string): string | undefined {
  try {
    return Date.now() - statSync(path).mtimeMs > KEPT_MS ? undefined : readFileSync(path, 'utf8');
  } catch (error) {
    return undefinedIfMissing(error as NodeJS.ErrnoException);
  }
}
