import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Has a state directory know what servers of the others have seen of the engine, and them what its own sees. */
export function shareLooks(stateRoot: string, stateDir: string): void {
  const probes = join(stateRoot, 'probes');
  mkdirSync(probes, { recursive: true });
  symlinkSync(probes, join(stateDir, 'probes'));
}
