import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../lib/replace-file.ts';

/** Manifest of a sandbox: names its owner and session, which labels must not reveal. Times are in ISO 8601. */
const manifestSchema = z.object({
  key: z.string().regex(/^[0-9a-f]{20}$/),
  session_id: z.string().min(1).max(64),
  owner: z.string().min(1),
  created_at: z.iso.datetime(),
  last_used_at: z.iso.datetime(),
  /** Time when the sandbox was filled from an archive. Its lifetime counts from then. */
  woken_at: z.iso.datetime().optional(),
  /** Names of the live contexts. They tell the next control plane which ones are lost. */
  contexts: z.array(z.string().max(64)).max(64).optional(),
  /** Ids of the live terminals, which end with this control plane, and of those that were lost without a word. */
  terminals: z.array(z.string().max(64)).max(64).optional(),
  /** Patterns of hosts to which its executions are narrowed. */
  web: z.array(z.string()).optional(),
  /** End of the time limit of its last background execution. The session does not expire before. */
  busy_until: z.iso.datetime().optional(),
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
