import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Inputs that the repository keeps: for each block of code that an input has reached, one that reaches it. */
const KEPT = fileURLToPath(new URL('corpus', import.meta.url));
/** Inputs that runs on this machine have found, and findings. Git ignores them. */
const FOUND = fileURLToPath(new URL('../../.fuzz', import.meta.url));

function filesIn(folder: string): { name: string; input: Buffer }[] {
  try {
    return readdirSync(folder)
      .sort()
      .map((name) => ({ name, input: readFileSync(join(folder, name)) }));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

export function keptInputs(target: string): { name: string; input: Buffer }[] {
  return filesIn(join(KEPT, target));
}

/** All inputs of a target, the shortest first. */
export function allInputs(target: string): Buffer[] {
  const all = [...keptInputs(target), ...filesIn(join(FOUND, target))].map(({ input }) => input);
  return all.sort((one, other) => one.length - other.length);
}

export function addInput(target: string, input: Buffer): void {
  write(join(FOUND, target), nameOf(input), input);
}

/** Writes an input that shows a defect. Returns the path. */
export function writeFinding(target: string, input: Buffer): string {
  return write(join(FOUND, 'findings'), `${target}-${nameOf(input)}`, input);
}

/** Replaces what the repository keeps of a target. */
export function keepInputs(target: string, inputs: readonly Buffer[]): void {
  rmSync(join(KEPT, target), { recursive: true, force: true });
  for (const input of inputs) write(join(KEPT, target), nameOf(input), input);
}

function nameOf(input: Buffer): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 16);
}

function write(folder: string, name: string, input: Buffer): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, input);
  return path;
}
