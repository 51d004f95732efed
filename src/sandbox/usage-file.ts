import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { replaceFile } from '../lib/replace-file.ts';
import type { Log } from '../log.ts';
import { ModuleUsage, usageSchema } from './module-usage.ts';

/** Shortest time between two writes, in milliseconds. A crash loses the changes of that time, which cost only speed. */
const WRITE_EVERY_MS = 60_000;
/** Most images to remember, the last one used included. */
const MAX_IMAGES = 8;

const fileSchema = z.object({ images: z.record(z.string().min(1).max(500), usageSchema) });

/** File that keeps over a restart what sessions used of late, by image. */
export class UsageFile {
  readonly usage: ModuleUsage;
  readonly #path: string;
  readonly #image: string;
  readonly #log: Log;
  readonly #others: z.infer<typeof fileSchema>['images'];
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, image: string, log: Log) {
    this.#path = path;
    this.#image = image;
    this.#log = log;
    const { [image]: own, ...others } = readImages(path, log);
    this.#others = others;
    this.usage = new ModuleUsage(own);
  }

  /** Writes the file within a minute. */
  saveSoon(): void {
    this.#timer ??= setTimeout(() => this.save(), WRITE_EVERY_MS).unref();
  }

  /** Writes the file now, if there is anything new. */
  save(): void {
    if (!this.#timer) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const kept = Object.entries(this.#others).slice(-(MAX_IMAGES - 1));
    const images = { ...Object.fromEntries(kept), [this.#image]: this.usage.record };
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      replaceFile(this.#path, JSON.stringify({ images }));
    } catch (error) {
      this.#log.warn('what sessions import could not be written down', { path: this.#path, error });
    }
  }
}

function readImages(path: string, log: Log): z.infer<typeof fileSchema>['images'] {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8'))).images;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      log.warn('the record of what sessions import is damaged, and begins anew', { path, error });
    }
    return {};
  }
}
