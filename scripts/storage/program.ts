import { fileURLToPath } from 'node:url';
import { ensureGoProgram } from '../go-program.ts';

/** Servers of the S3 protocol that the tests can run with. */
export type StorageKind = 'versity' | 'rclone';

const PROGRAMS = {
  versity: { name: 'storage', folder: 'program', cache: 'glovebox-storage' },
  rclone: { name: 'rclone', folder: 'rclone', cache: 'glovebox-rclone' },
} as const;

/**
 * Returns the path of a server of the S3 protocol, for tests. It is built once, by the Go of this machine: three minutes
 * of processor time where Go has none of it compiled yet.
 * @throws Error when it cannot be built
 */
export async function ensureStorage(
  kind: StorageKind,
  report: (line: string) => void,
  signal?: AbortSignal,
): Promise<string> {
  const { folder, ...program } = PROGRAMS[kind];
  const sources = fileURLToPath(new URL(folder, import.meta.url));
  return await ensureGoProgram(
    { ...program, title: `a storage server, ${kind}`, sources, takes: 'three minutes' },
    report,
    signal,
  );
}

if (import.meta.main) {
  const kind = process.argv[2] === 'rclone' ? 'rclone' : 'versity';
  await ensureStorage(kind, (line) => process.stderr.write(`${line}\n`));
}
