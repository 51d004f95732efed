import { constants, copyFileSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { GloveboxError } from '../errors.ts';
import { replaceFile } from '../lib/replace-file.ts';
import type { Entry } from './connection.ts';
import { mergeEntry, type Outcome, type Target } from './merge.ts';

export interface Written {
  readonly outcome: Outcome;
  /** File that was written: where a link leads, if the configuration is one. */
  readonly file: string;
  /** Copy of the file as it was before. Undefined if nothing was written, or there was no file. */
  readonly backup?: string;
}

/** New configuration may come to hold keys. */
const PRIVATE = 0o600;

/**
 * Puts an entry into a configuration file: all of it or nothing, with a copy of what was there beside it.
 * @throws GloveboxError `invalid_input` if the file is broken, or cannot be read or written
 */
export function writeEntry(target: Target, entry: Entry, { force }: { readonly force: boolean }): Written {
  const { file: named } = target;
  try {
    const file = realPath(named);
    const before = readText(file);
    const { outcome, text } = mergeEntry(before ?? '', { ...target, file }, entry, force);
    if (outcome === 'same' || outcome === 'kept') return { outcome, file };
    if (before === undefined) mkdirSync(dirname(file), { recursive: true });
    const backup = before === undefined ? undefined : backUp(file);
    const mode = before === undefined ? PRIVATE : statSync(file).mode & 0o777;
    if (readText(file) !== before) throw changedMeanwhile(file);
    replaceFile(file, text, { flush: true, mode });
    return { outcome, file, ...(backup === undefined ? {} : { backup }) };
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause) || cause instanceof GloveboxError) throw cause;
    throw new GloveboxError('invalid_input', `${named} cannot be read and written: ${cause.message}.`, {
      hint: 'See whose it is, or name another file with --file.',
      cause,
    });
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch (error) {
    if (isMissing(error)) return file;
    throw error;
  }
}

function readText(file: string): string | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new GloveboxError('invalid_input', `${file} is no text in UTF-8.`, {
      hint: 'It was left as it is. Save it as UTF-8, then run this again.',
      cause,
    });
  }
}

/** Copies the file beside itself, under a name that is free. */
function backUp(file: string): string {
  for (let number = 1; ; number += 1) {
    const backup = `${file}.before-glovebox${number === 1 ? '' : `-${number}`}`;
    try {
      copyFileSync(file, backup, constants.COPYFILE_EXCL);
      return backup;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
}

function changedMeanwhile(file: string): GloveboxError {
  return new GloveboxError('invalid_input', `${file} was changed by another program just now.`, {
    hint: 'Nothing was written. Close the client whose file it is, then run this again.',
  });
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
