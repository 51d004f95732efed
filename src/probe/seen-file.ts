import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Log } from '../log.ts';
import { PROTECTIONS, type Shortfall } from '../sandbox/assurances.ts';
import { version } from '../version.ts';
import { PROBE } from './program.ts';

/** Time in milliseconds for which a finding is believed. Not all that matters changes what an engine says of itself. */
const BELIEVED_MS = 24 * 60 * 60 * 1000;

const seenSchema = z.object({
  at: z.number(),
  fingerprint: z.string(),
  missing: z.array(z.object({ name: z.enum(PROTECTIONS), found: z.string().max(2000) })),
});

/** What probes found, in one file for each engine, image and profile. All control planes of a state directory share them. */
export class SeenFiles {
  readonly #directory: string;
  readonly #log: Log;

  constructor(stateDir: string, log: Log) {
    this.#directory = join(stateDir, 'probes');
    this.#log = log;
  }

  /** What is missing, as last found. Undefined if that is not known, or too long ago. A damaged file is not believed. */
  read(fingerprint: string, now = Date.now()): readonly Shortfall[] | undefined {
    try {
      const seen = seenSchema.parse(JSON.parse(readFileSync(this.#pathOf(fingerprint), 'utf8')));
      const age = now - seen.at;
      return seen.fingerprint === fullText(fingerprint) && age >= 0 && age < BELIEVED_MS ? seen.missing : undefined;
    } catch {
      return undefined;
    }
  }

  /** Keeps a finding, and removes old ones. A file that cannot be written costs a further look. */
  write(fingerprint: string, missing: readonly Shortfall[], now = Date.now()): void {
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      this.#sweep(now);
      this.#replace(
        this.#pathOf(fingerprint),
        JSON.stringify({ at: now, fingerprint: fullText(fingerprint), missing }),
      );
    } catch (error) {
      this.#log.warn('what was seen of a sandbox could not be written down', { path: this.#directory, error });
    }
  }

  #pathOf(fingerprint: string): string {
    return join(this.#directory, `${fullText(fingerprint).slice(0, 32)}.json`);
  }

  /** Each writer has a file of its own, as other control planes may write at the same time. */
  #replace(path: string, content: string): void {
    const fresh = `${path}.${randomBytes(4).toString('hex')}`;
    try {
      writeFileSync(fresh, content, { mode: 0o600 });
      renameSync(fresh, path);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw error;
    }
  }

  #sweep(now: number): void {
    for (const name of readdirSync(this.#directory)) {
      const path = join(this.#directory, name);
      const written = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? now;
      if (now - written > BELIEVED_MS) rmSync(path, { force: true });
    }
  }
}

/** Hash that also differs when the program, or what judges it, may. */
function fullText(fingerprint: string): string {
  return createHash('sha256')
    .update(JSON.stringify([fingerprint, version, PROBE]))
    .digest('hex');
}
