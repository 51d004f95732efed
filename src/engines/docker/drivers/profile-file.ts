import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../../lib/make-directory.ts';
import { seccompProfile } from '../hardening/seccomp.ts';

const PROFILE = JSON.stringify(seccompProfile());
const NAME = `seccomp-${createHash('sha256').update(PROFILE).digest('hex').slice(0, 12)}.json`;

/** The system call filter as a file of a folder, which only its owner and root can read. */
export class ProfileFile {
  readonly path: string;

  constructor(directory: string) {
    this.path = join(directory, NAME);
  }

  /** Writes the file, unless it is there as it should be: somebody may have removed or changed it. */
  ensure(): void {
    if (this.#read() === PROFILE) return;
    makeDirectory(join(this.path, '..'));
    // Another control plane may be writing it too.
    const fresh = `${this.path}.${randomBytes(4).toString('hex')}`;
    try {
      writeFileSync(fresh, PROFILE, { mode: 0o600 });
      renameSync(fresh, this.path);
    } catch (error) {
      rmSync(fresh, { force: true });
      throw error;
    }
  }

  #read(): string | undefined {
    try {
      return readFileSync(this.path, 'utf8');
    } catch {
      return undefined;
    }
  }
}
