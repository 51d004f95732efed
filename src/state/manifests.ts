import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../lib/replace-file.ts';
import { savedSessionSchema } from './state.ts';

/** Manifest of a sandbox: names its owner and session, which labels must not reveal. Times are in ISO 8601. */
const manifestSchema = savedSessionSchema.omit({ ref: true, background: true, archive: true, at_rest: true }).extend({
  key: z.string().regex(/^[0-9a-f]{20}$/),
  session_id: z.string().min(1).max(64),
  owner: z.string().min(1),
  created_at: z.iso.datetime(),
});

export type Manifest = z.infer<typeof manifestSchema>;

/** Stores one small file for each session's sandbox, in an instance's directory. */
export class Manifests {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Writes a manifest atomically, and synchronously, because it claims the sandbox. */
  write(manifest: Manifest): void {
    replaceFile(this.#pathOf(manifest.key), JSON.stringify(manifest));
  }

  remove(key: string): void {
    rmSync(this.#pathOf(key), { force: true });
  }

  /** Reads all manifests. Removes those that cannot be read. */
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
