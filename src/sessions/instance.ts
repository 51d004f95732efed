import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { GloveboxError } from '../errors.ts';
import { makeDirectory } from '../lib/make-directory.ts';

/** An ephemeral instance ends with a random part, so none of that name ever comes back. */
const EPHEMERAL = /\.[0-9a-f]{8}$/;

/** The code with which SQLite says that another process holds the lock. */
const SQLITE_BUSY = 5;

/** A name that no other instance has had or will have. */
export function ephemeralName(kind: string): string {
  return `${kind}.${randomBytes(4).toString('hex')}`;
}

/**
 * The running control plane among those that share an engine: its name, held by a lock that dies with the process.
 * The lock is an SQLite transaction that is never committed: the system drops its file lock at the process's end,
 * whatever ended it, on every platform that Node runs on.
 */
export class Instance implements Disposable {
  readonly name: string;
  /** The value of the label on all that this instance makes: its name and the state directory's own id. */
  readonly label: string;
  readonly directory: string;
  readonly #stateDir: string;
  readonly #lock: DatabaseSync;

  private constructor(stateDir: string, name: string, lock: DatabaseSync) {
    this.name = name;
    this.label = labelOf(stateDir, name);
    this.directory = instanceDirectory(stateDir, name);
    this.#stateDir = stateDir;
    this.#lock = lock;
  }

  /** @throws GloveboxError `invalid_input` when an instance of that name runs, or the directory cannot be written. */
  static acquire(stateDir: string, name: string): Instance {
    const lock = writing(stateDir, () => {
      makeDirectory(instanceDirectory(stateDir, name));
      return tryLock(stateDir, name);
    });
    if (lock) return new Instance(stateDir, name, lock);
    throw new GloveboxError('invalid_input', `A Glovebox named ${name} is running already.`, {
      hint: 'Stop it, choose another port, or give this one a name of its own with GLOVEBOX_INSTANCE.',
    });
  }

  /** The instance of this state directory that made a sandbox with such a label; undefined for another directory's. */
  nameOf(label: string): string | undefined {
    const [name = '', id] = label.split('@');
    return id === stateId(this.#stateDir) ? name : undefined;
  }

  /** Runs `use` if no process holds that instance, while holding it. */
  async ifDead(name: string, use: (directory: string, ephemeral: boolean) => Promise<void>): Promise<void> {
    const directory = instanceDirectory(this.#stateDir, name);
    makeDirectory(directory);
    const lock = tryLock(this.#stateDir, name);
    if (!lock) return;
    try {
      await use(directory, EPHEMERAL.test(name));
    } finally {
      release(lock, this.#stateDir, name);
    }
  }

  [Symbol.dispose](): void {
    release(this.#lock, this.#stateDir, this.name);
  }
}

function instanceDirectory(stateDir: string, name: string): string {
  return join(stateDir, 'instances', name);
}

function lockPath(stateDir: string, name: string): string {
  return join(stateDir, 'instances', `${name}.lock`);
}

function labelOf(stateDir: string, name: string): string {
  return `${name}@${stateId(stateDir)}`;
}

/** Tells this state directory's containers from those of another user or machine on the same engine. */
function stateId(stateDir: string): string {
  const path = join(stateDir, 'id');
  try {
    // Exclusive, so that of two first processes one writes and both read the same.
    writeFileSync(path, randomBytes(4).toString('hex'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readFileSync(path, 'utf8');
}

/** Undefined while another process holds it. */
function tryLock(stateDir: string, name: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(lockPath(stateDir, name));
  try {
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
}

/** @throws GloveboxError `invalid_input` when what is to be written cannot be. */
function writing<T>(stateDir: string, write: () => T): T {
  try {
    return write();
  } catch (cause) {
    throw new GloveboxError('invalid_input', `The state directory ${stateDir} cannot be written.`, {
      hint: 'Name one that can with GLOVEBOX_STATE_DIR; of a volume, neither mount it read-only nor as another user.',
      cause,
    });
  }
}

/** An ephemeral instance leaves no trace. */
function release(lock: DatabaseSync, stateDir: string, name: string): void {
  if (EPHEMERAL.test(name)) {
    rmSync(instanceDirectory(stateDir, name), { recursive: true, force: true });
    rmSync(lockPath(stateDir, name), { force: true });
  }
  lock.close();
}
