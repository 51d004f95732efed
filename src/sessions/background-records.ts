import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { ERROR_CODES } from '../errors.ts';
import { replaceFile } from '../lib/replace-file.ts';
import { savedAccessSchema } from '../state/saved-access.ts';
import { recordedResultSchema } from './recorded-result.ts';

/** Record of a background execution for the next control plane. Times are in ISO 8601. */
const recordSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  started_at: z.iso.datetime(),
  timeout_s: z.number().nonnegative(),
  context: z.string().max(64).optional(),
  /** What it runs. Default: code. */
  kind: z.enum(['code', 'command']).optional(),
  /** Beginning of its code, or of its command. */
  code: z.string().max(1000).optional(),
  /** Whether its caller follows it as a task of MCP. */
  task: z.literal(true).optional(),
  /** Whether its standard input stays open. */
  stdin_open: z.literal(true).optional(),
  /** Time when its program was started, after the wait for its turn. */
  began_at: z.iso.datetime().optional(),
  ...savedAccessSchema.shape,
  /** Result, or the reason why it could not run. */
  result: recordedResultSchema.optional(),
  /** Whether its result is the short one that another control plane was told. Its runner may have more. */
  summary: z.literal(true).optional(),
  error: z.object({ code: z.enum(ERROR_CODES), message: z.string(), hint: z.string() }).optional(),
});

export type BackgroundRecord = z.infer<typeof recordSchema>;

const FOLDER = 'jobs';

/** Stores one file for each background execution of a session, in a folder of an instance's directory. */
export class BackgroundRecords {
  readonly #directory: string;

  constructor(instanceDirectory: string, owner: string, sessionId: string) {
    this.#directory = join(instanceDirectory, FOLDER, folderOf(owner, sessionId));
  }

  /** Writes a record atomically. */
  write(record: BackgroundRecord): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    replaceFile(join(this.#directory, record.id), JSON.stringify(record));
  }

  has(id: string): boolean {
    return existsSync(join(this.#directory, id));
  }

  remove(id: string): void {
    rmSync(join(this.#directory, id), { force: true });
  }

  removeAll(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Reads all readable records, the oldest first. */
  readAll(): BackgroundRecord[] {
    return list(this.#directory)
      .flatMap((name) => {
        try {
          const record = recordSchema.parse(JSON.parse(readFileSync(join(this.#directory, name), 'utf8')));
          return record.id === name ? [record] : [];
        } catch {
          return [];
        }
      })
      .sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
  }

  /** Removes the records of all sessions but these. */
  static sweep(instanceDirectory: string, kept: readonly { readonly owner: string; readonly session_id: string }[]) {
    const names = new Set(kept.map(({ owner, session_id: id }) => folderOf(owner, id)));
    const directory = join(instanceDirectory, FOLDER);
    for (const name of list(directory)) {
      if (!names.has(name)) rmSync(join(directory, name), { recursive: true, force: true });
    }
  }
}

/** Returns a folder name. Owners and session names may contain characters that a file name must not. */
function folderOf(owner: string, sessionId: string): string {
  return createHash('sha256').update(`${owner}\0${sessionId}`).digest('hex').slice(0, 32);
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
