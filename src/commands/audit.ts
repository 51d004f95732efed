import { resolve } from 'node:path';
import { chainWith } from '../audit/key.ts';
import { filesOf, type Verdict, verifyFiles } from '../audit/verify.ts';
import type { Config } from '../config/load.ts';
import { GloveboxError } from '../errors.ts';

/** Options of `glovebox audit verify`. */
export interface VerifyLogOptions {
  readonly holds?: string | undefined;
}

/** Runs `glovebox audit verify`: exit status 1 if a log is not as it was written. @throws GloveboxError `invalid_input` */
export async function verifyLog(config: Config, files: readonly string[], { holds }: VerifyLogOptions): Promise<void> {
  const chain = chainWith(config.auditLogKeyFile);
  const verdict = await reading(async () => {
    const chosen = files.length > 0 ? files.map((file) => resolve(file)) : await filesOf(logOf(config));
    return await verifyFiles(chosen, { chain, holds, isPart: files.length > 0 });
  });
  const problem = problemOf(verdict, holds);
  process.stdout.write(`${describe(verdict)}\n`);
  if (problem === undefined) return;
  process.stdout.write(`BROKEN: ${problem}\n`);
  process.exitCode = 1;
}

function logOf({ auditLog }: Config): string {
  if (auditLog !== undefined) return resolve(auditLog);
  throw new GloveboxError('invalid_input', 'No audit log is named.', {
    hint: 'Name its files, the oldest first, or set GLOVEBOX_AUDIT_LOG.',
  });
}

function describe({ files, lines, first, last }: Verdict): string {
  if (!first || !last) return `${files} file${files === 1 ? '' : 's'}, no line that is as it was written.`;
  return `${files} file${files === 1 ? '' : 's'}, lines ${first.seq} to ${last.seq} (${lines}) are as they were written. Hash of line ${last.seq}: ${last.hash}`;
}

function problemOf({ broken, lines, ...verdict }: Verdict, holds: string | undefined): string | undefined {
  if (broken) return `${broken.file}, line ${broken.line}: ${broken.why}.`;
  if (lines === 0) return 'there is no line at all.';
  return verdict.holds
    ? undefined
    : `no line has the hash ${holds}: the end of the log is missing, or it is another log.`;
}

async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof GloveboxError || !(error instanceof Error)) throw error;
    throw new GloveboxError('invalid_input', `The audit log cannot be read: ${error.message}`, {
      hint: 'Name its files, the oldest first.',
      cause: error,
    });
  }
}
