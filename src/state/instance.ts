import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { GloveboxError } from '../errors.ts';
import { makeDirectory } from '../lib/make-directory.ts';

/** Random end of the name of an ephemeral instance. It is never used again. */
const EPHEMERAL = /\.[0-9a-f]{8}$/;

/** Error code of SQLite when another process holds the lock. */
const SQLITE_BUSY = 5;

/** Error of a second instance of the same name. */
export class InstanceTaken extends GloveboxError {
  constructor(name: string) {
    super('invalid_input', `A Glovebox named ${name} is running already.`, {
      hint: 'Stop it, or have this one keep sessions of its own: by another port, or a name of its own with GLOVEBOX_INSTANCE. Servers share sessions in a cluster only: docs/control-planes.md.',
    });
  }
}

/** Returns a unique name for an instance. */
export function ephemeralName(kind: string): string {
  return `${kind}.${randomBytes(4).toString('hex')}`;
}

/**
 * Running control plane, identified among others on the same engine by a name. A lock holds the name until the process
 * ends. The lock is an SQLite transaction that is never committed: on every platform of Node, the system releases its
 * file lock when the process ends, however it ends.
 */
export class Instance implements Disposable {
  readonly name: string;
  /** Label value of everything that this instance creates: its name and the id of the state directory. */
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

  /** Takes a name. @throws GloveboxError `invalid_input` when it is in use, or the directory is not writable */
  static acquire(stateDir: string, name: string): Instance {
    const lock = writing(stateDir, () => {
      makeDirectory(instanceDirectory(stateDir, name));
      return tryLock(stateDir, name);
    });
    if (lock) return new Instance(stateDir, name, lock);
    throw new InstanceTaken(name);
  }

  /** Returns the instance of this state directory that created a label. Undefined if it belongs to another directory. */
  nameOf(label: string): string | undefined {
    const [name = '', id] = label.split('@');
    return id === stateId(this.#stateDir) ? name : undefined;
  }

  /** Runs `use` while holding the lock of an instance, if no other process holds it. */
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

  /** Whether its name is never used again. */
  get isEphemeral(): boolean {
    return EPHEMERAL.test(this.name);
  }

  [Symbol.dispose](): void {
    release(this.#lock, this.#stateDir, this.name);
  }
}

/** @throws GloveboxError `invalid_input` when an instance of that name runs already, or state cannot be kept there */
export function checkStateDir(stateDir: string, instance = ephemeralName('doctor')): void {
  Instance.acquire(stateDir, instance)[Symbol.dispose]();
}

/** Returns the names of the instances of a state directory that run, and its id if it has one. Creates nothing. */
export function lookAtState(stateDir: string): {
  readonly running: readonly string[];
  readonly id: string | undefined;
} {
  const names = namesIn(join(stateDir, 'instances')).flatMap((name) => /^(.+)\.lock$/.exec(name)?.[1] ?? []);
  const running = names.filter((name) => {
    const lock = tryLock(stateDir, name);
    lock?.close();
    return lock === undefined;
  });
  const hasId = namesIn(stateDir).includes('id');
  return { running, id: hasId ? readFileSync(join(stateDir, 'id'), 'utf8') : undefined };
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
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

/** Returns the id that distinguishes containers of this state directory from others on the same engine. */
function stateId(stateDir: string): string {
  const path = join(stateDir, 'id');
  try {
    // Exclusive: if two processes start at once, one writes the id and both read the same.
    writeFileSync(path, randomBytes(4).toString('hex'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readFileSync(path, 'utf8');
}

/** Takes the lock. Undefined if another process holds it. */
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

/** Runs `write`. @throws GloveboxError `invalid_input` when the state directory is not writable */
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

/** Releases the lock, and removes the directory of an ephemeral instance. */
function release(lock: DatabaseSync, stateDir: string, name: string): void {
  if (EPHEMERAL.test(name)) {
    rmSync(instanceDirectory(stateDir, name), { recursive: true, force: true });
    rmSync(lockPath(stateDir, name), { force: true });
  }
  lock.close();
}
