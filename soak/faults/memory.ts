import type { Execution } from '../../test/support/rest-client.ts';
import { Violation } from '../calls.ts';
import type { History } from './history.ts';

/** The time in which a checkpoint is promised, and what a machine under load may add. */
const CHECKPOINT_MS = 5000;
const ALLOWANCE_MS = 25_000;
const CONTAINER = ['container'] as const;

interface Remembered {
  readonly content: string;
  readonly writtenAt: number;
  seenAt: number;
}

/** The files that one session should have, and what may have become of them. */
export class FileMemory {
  /** Of what was lost: how long a checkpoint could have been made of it, ms. */
  longestChanceMs = 0;
  lost = 0;
  readonly #history: History;
  readonly #witness: number;
  readonly #files = new Map<string, Remembered>();
  /** Contents of files whose answer never came. */
  readonly #unsure = new Map<string, string>();
  /** Whether a loss was told since the last look, the earliest time that files are said to be of, and whether an answer was lost. */
  #told = false;
  #restoredFrom = Number.POSITIVE_INFINITY;
  #deaf = false;

  constructor(history: History, witness: number) {
    this.#history = history;
    this.#witness = witness;
  }

  wrote(path: string, content: string): void {
    const now = Date.now();
    this.#files.set(path, { content, writtenAt: now, seenAt: now });
  }

  mayHaveWritten(path: string, content: string): void {
    this.#unsure.set(path, content);
  }

  /** Files whose names begin so are about to be removed. */
  retire(prefix: string): void {
    for (const path of this.#files.keys()) if (path.startsWith(prefix)) this.#files.delete(path);
  }

  /** An answer was lost, and what it may have told with it. */
  missAnswer(): void {
    this.#deaf = true;
  }

  learn({
    session_reset: reset,
    session_created: created,
  }: Execution & { session_reset?: { restored_from?: string } }) {
    if (!reset?.lost.includes('files') && !created) return;
    this.#told = true;
    const from = reset?.restored_from === undefined ? Number.NEGATIVE_INFINITY : Date.parse(reset.restored_from);
    this.#restoredFrom = Math.min(this.#restoredFrom, from);
  }

  /** Compares what is there with what should be. @throws Violation for what may not be missing, or is another's */
  check(found: ReadonlyMap<string, string>): void {
    const missing: string[] = [];
    for (const [path, file] of this.#files) {
      const content = found.get(path);
      if (content === undefined) missing.push(path);
      else if (content !== file.content) throw new Violation(`${path} has ${content} instead of ${file.content}.`);
      else file.seenAt = Date.now();
    }
    for (const [path, content] of this.#unsure) {
      const there = found.get(path);
      if (there !== undefined && there !== content) throw new Violation(`${path} has ${there} instead of ${content}.`);
    }
    const wrong = missing.flatMap((path) => this.#judge(path));
    for (const path of missing) this.#files.delete(path);
    [this.#told, this.#deaf, this.#restoredFrom] = [false, false, Number.POSITIVE_INFINITY];
    if (wrong.length > 0) throw new Violation(wrong.join(' '));
  }

  #judge(path: string): string[] {
    const { writtenAt, seenAt } = this.#files.get(path) as Remembered;
    if (!this.#told && !this.#deaf) return [`${path} is gone, and nothing was told.`];
    const from = this.#restoredFrom;
    if (!this.#deaf && writtenAt < from)
      return [`${path} of ${iso(writtenAt)} is gone, though files are said to be of ${iso(from)}.`];
    const fault = this.#history.firstSince(seenAt, this.#witness, CONTAINER);
    if (!fault) return [`${path} is gone, and nothing was done to its container.`];
    const chanceMs = this.#history.chanceMs(writtenAt, fault.at);
    this.lost += 1;
    this.longestChanceMs = Math.max(this.longestChanceMs, chanceMs);
    if (chanceMs <= CHECKPOINT_MS + ALLOWANCE_MS) return [];
    return [`${path} is gone, ${chanceMs} ms after it was written (${fault.kind}).`];
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
