import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../lib/replace-file.ts';

/** Says whose a sandbox is: what its container's labels must not say. Times are ISO 8601. */
const manifestSchema = z.object({
  key: z.string().regex(/^[0-9a-f]{20}$/),
  session_id: z.string().min(1).max(64),
  owner: z.string().min(1),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime(),
  /** When its sandbox was filled from an archive: its lifetime counts from then. */
  woken_at: z.iso.datetime().optional(),
  /** Its contexts, for it to be known which of them did not outlive the control plane. */
  contexts: z.array(z.string().max(64)).max(64).optional(),
  /** Until when a background execution may run: the session does not expire before. */
  busy_until: z.iso.datetime().optional(),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** One small file for each session's sandbox, in an instance's directory. */
export class Manifests {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Written whole or not at all: synchronous, because it claims the sandbox. */
  write(manifest: Manifest): void {
    replaceFile(this.#pathOf(manifest.key), JSON.stringify(manifest));
  }

  remove(key: string): void {
    rmSync(this.#pathOf(key), { force: true });
  }

  /** All that can be read; what cannot is no claim to anything, and is removed. */
  readAll(): Manifest[] {
    const files = readdirSync(this.#directory, { withFileTypes: true }).filter((entry) => entry.isFile());
    return files.flatMap(({ name }) => {
      const path = join(this.#directory, name);
      try {
        return [manifestSchema.parse(JSON.parse(readFileSync(path, 'utf8')))];
      } catch {
        rmSync(path, { force: true });
        return [];
      }
    });
  }

  #pathOf(key: string): string {
    return join(this.#directory, `${key}.json`);
  }
}
