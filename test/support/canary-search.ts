import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { hostPidsOfPod } from './pods-of.ts';
import { containersOf, engine, isCluster, type Server } from './server.ts';

/** Bytes of memory that are read at once. */
const PIECE = 2 ** 22;
/** Largest region of memory that is searched, in bytes. */
const LARGEST = 2 ** 32;

/**
 * Searches the memory and the environment of all processes of a server's sandboxes from outside.
 * @param texts what must be nowhere
 * @param control what the code has in its memory, so that a search that finds nothing at all is noticed
 */
export async function expectNothingInside(server: Server, texts: readonly string[], control: string): Promise<void> {
  const processes = (await Promise.all((await containersOf(server)).map(({ Id }) => pidsOf(Id)))).flat();
  const found = processes.map((pid) => textsIn(pid, [...texts, control])).filter((some) => some !== undefined);
  // Processes of this host can be looked into by its administrator alone.
  if (process.getuid?.() === 0) expect(found.flat()).toContain(control);
  for (const text of texts) {
    expect(found.flat()).not.toContain(text);
    expect(processes.map((pid) => holds(`/proc/${pid}/environ`, text))).not.toContain(true);
  }
}

/** Names of the files of a folder, and of those within, that hold a text. */
export function filesWith(folder: string, text: string): string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => holds(join(folder, name), text) === true);
}

/** Whether a file of this host holds a text, and undefined where it cannot be read. */
function holds(path: string, text: string): boolean | undefined {
  try {
    return readFileSync(path).includes(text);
  } catch {
    return undefined;
  }
}

/** Texts in the readable memory of a process of this host. Undefined where that is not allowed, or it is no process here. */
function textsIn(pid: number, texts: readonly string[]): readonly string[] | undefined {
  let memory: number;
  try {
    memory = openSync(`/proc/${pid}/mem`, 'r');
  } catch {
    return undefined;
  }
  try {
    const regions = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n');
    return [...new Set(regions.flatMap((line) => textsInRegion(memory, line, texts)))];
  } catch {
    return undefined;
  } finally {
    closeSync(memory);
  }
}

function textsInRegion(memory: number, line: string, texts: readonly string[]): string[] {
  const [, from = '0', to = '0'] = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line) ?? [];
  const [begin, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
  if (end - begin > LARGEST || /\[v(?:var|syscall|dso)/.test(line)) return [];
  const overlap = Math.max(...texts.map(({ length }) => length));
  const found: string[] = [];
  for (let at = begin; at < end; at += PIECE) {
    const bytes = Buffer.alloc(Math.min(PIECE + overlap, end - at));
    try {
      readSync(memory, bytes, 0, bytes.length, at);
    } catch {
      // Pages that are not there, such as those behind a stack.
    }
    found.push(...texts.filter((text) => bytes.includes(text)));
  }
  return found;
}

async function pidsOf(id: string): Promise<number[]> {
  if (isCluster()) return await hostPidsOfPod(id);
  const { Processes = [] }: { Processes?: string[][] } = await engine()
    .getContainer(id)
    .top({ ps_args: '-eo pid,args' });
  return Processes.map(([pid]) => Number(pid));
}
