import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive, type KnownProcess } from './processes.ts';

const PREFIX = 'glovebox-kubernetes-';
const STATE = 'lab.json';
/** Labs of one machine at once: each has its number, in its addresses and names. */
const MOST_LABS = 250;

/** What a lab is made of, kept in its folder: so that another process can use it, and undo it. */
export interface LabState {
  /** In the names and addresses of all that the lab has outside of its folder. */
  readonly number: number;
  /** The process that the lab ends with; undefined for one that stays until it is asked to end. */
  readonly owner?: KnownProcess | undefined;
  /** The program that has all parts of Kubernetes. */
  readonly program: string;
  readonly processes: Readonly<Record<string, KnownProcess>>;
}

/** Takes the first free number, and makes the folder of the lab. */
export function createState(program: string, owner?: KnownProcess): { folder: string; state: LabState } {
  for (let number = 1; number <= MOST_LABS; number++) {
    const folder = join(tmpdir(), `${PREFIX}${number}`);
    try {
      mkdirSync(folder);
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') continue;
      throw error;
    }
    const state = { number, owner, program, processes: {} };
    writeState(folder, state);
    return { folder, state };
  }
  throw new Error(`There are ${MOST_LABS} labs already.`);
}

export function writeState(folder: string, state: LabState): void {
  const path = join(folder, STATE);
  writeFileSync(`${path}.new`, JSON.stringify(state));
  renameSync(`${path}.new`, path);
}

/** Undefined while the lab is being made, or removed. */
export function readState(folder: string): LabState | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, STATE), 'utf8'));
  } catch {
    return undefined;
  }
}

/** Folders of all labs of this machine. */
export function listFolders(): string[] {
  return readdirSync(tmpdir())
    .filter((name) => name.startsWith(PREFIX) && /^\d+$/.test(name.slice(PREFIX.length)))
    .map((name) => join(tmpdir(), name));
}

/** Whether the process that a lab was to end with has ended without undoing it. */
export function isAbandoned({ owner }: LabState): boolean {
  return owner !== undefined && !isAlive(owner);
}
