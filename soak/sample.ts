import { type Dirent, existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { residentOf } from '../bench/use.ts';
import type { Outside } from './outside.ts';

const MIB = 2 ** 20;
const PROBE_LIMIT_MS = 20_000;

/** What a run takes of the machine at one moment. Sizes are MiB. */
export interface Sample {
  /** Executions so far. */
  readonly executions: number;
  readonly seconds: number;
  /** Of the server, right after a collection of its garbage. */
  readonly rss: number;
  /** The most that the server has had so far, garbage included. */
  readonly peak: number;
  readonly heap: number;
  /** Outside the heap, for the most part what is on its way. */
  readonly buffers: number;
  readonly descriptors: number;
  readonly containers: number;
  readonly processes: number;
  readonly execs: number;
  readonly stateFiles: number;
  readonly stateSize: number;
  readonly tempFiles: number;
  /** Of the engine, which others may use as well if it is the machine's own; 0 where its process cannot be seen. */
  readonly engineDescriptors: number;
  readonly engineRss: number;
}

export interface Places {
  readonly pid: number;
  readonly enginePid: number | undefined;
  readonly stateDir: string;
  /** Where the server writes its temporary files. */
  readonly tempDir: string;
  /** What the probe in the server writes. */
  readonly probe: string;
  readonly outside: Outside;
}

export async function takeSample(places: Places, executions: number, seconds: number): Promise<Sample> {
  const { rss, heapUsed, external } = await collectGarbage(places);
  const { processes, execs } = await places.outside.look();
  const files = filesIn(places.stateDir);
  const engine = places.enginePid;
  return {
    executions,
    seconds,
    rss: rss / MIB,
    peak: peakOf(places.pid),
    heap: heapUsed / MIB,
    buffers: external / MIB,
    descriptors: descriptorsOf(places.pid),
    containers: processes.length,
    processes: processes.reduce((sum, count) => sum + count, 0),
    execs,
    stateFiles: files.length,
    stateSize: files.reduce((sum, path) => sum + sizeOf(path), 0) / MIB,
    tempFiles: filesIn(places.tempDir).length,
    engineDescriptors: engine === undefined ? 0 : descriptorsOf(engine),
    engineRss: engine === undefined ? 0 : (residentOf(engine) ?? 0),
  };
}

function peakOf(pid: number): number {
  const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kib) / 1024;
}

async function collectGarbage({ pid, probe }: Places): Promise<NodeJS.MemoryUsage> {
  rmSync(probe, { force: true });
  process.kill(pid, 'SIGUSR2');
  for (const deadline = performance.now() + PROBE_LIMIT_MS; performance.now() < deadline; await sleep(20)) {
    if (!existsSync(probe)) continue;
    const text = readFileSync(probe, 'utf8');
    // It is not written at once.
    if (text.endsWith('}')) return JSON.parse(text);
  }
  throw new Error(`The server did not say within ${PROBE_LIMIT_MS} ms what memory it has in use.`);
}

/** Every file below a folder, but for what goes while this looks. */
export function filesIn(directory: string): string[] {
  return entriesOf(directory).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return filesIn(path);
    return entry.isFile() ? [path] : [];
  });
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** But for connections of TCP, which are kept open for as long as their clients like. */
function descriptorsOf(pid: number): number {
  const connections = new Set(
    ['tcp', 'tcp6'].flatMap((name) => {
      const [, ...lines] = readFileSync(`/proc/${pid}/net/${name}`, 'utf8').trim().split('\n');
      return lines.map((line) => `socket:[${line.trim().split(/\s+/)[9]}]`);
    }),
  );
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => !connections.has(targetOf(`/proc/${pid}/fd/${fd}`))).length;
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}
