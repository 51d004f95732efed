import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeDirectory } from '../../../lib/make-directory.ts';
import { seccompProfile } from '../../hardening/seccomp.ts';

/** The system call filter as a file of a folder, which only its owner and root can read. */
export class ProfileFile {
  readonly path: string;
  readonly #profile: string;

  /** @param remapped whether sandboxes are in a user namespace */
  constructor(directory: string, remapped: boolean) {
    this.#profile = JSON.stringify(seccompProfile({ remapped }));
    const hash = createHash('sha256').update(this.#profile).digest('hex').slice(0, 12);
    this.path = join(directory, `seccomp-${hash}.json`);
  }

  /** Writes the file, unless it is there as it should be: somebody may have removed or changed it. */
  ensure(): void {
    if (this.#read() === this.#profile) return;
    makeDirectory(join(this.path, '..'));
    // Another control plane may be writing it too.
    const fresh = `${this.path}.${randomBytes(4).toString('hex')}`;
    try {
      writeFileSync(fresh, this.#profile, { mode: 0o600 });
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
