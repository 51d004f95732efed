import { fileURLToPath } from 'node:url';
import { ensureGoProgram } from '../go-program.ts';

/**
 * Returns the path of a server of the S3 protocol, for tests. It is built once, by the Go of this machine: three minutes
 * of processor time where Go has none of it compiled yet.
 * @throws Error when it cannot be built
 */
export async function ensureStorage(report: (line: string) => void, signal?: AbortSignal): Promise<string> {
  const program = {
    title: 'a storage server',
    name: 'storage',
    sources: fileURLToPath(new URL('program', import.meta.url)),
    cache: 'glovebox-storage',
    takes: 'two minutes',
  };
  return await ensureGoProgram(program, report, signal);
}

if (import.meta.main) await ensureStorage((line) => process.stderr.write(`${line}\n`));
