import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { environment } from '../environment.ts';
import { parseRecording, type Recording } from './kernel-samples.ts';

type Work = () => Promise<void>;

/** Samples a second of each processor. Not a whole divisor of what else happens every millisecond. */
const FREQUENCY = 9973;
/** Until a tool is there for sure; none of them says so. */
const ATTACHED_AFTER_MS = 1500;

/** Samples all processors with perf, by their clock, while work is done. */
export async function recordStacks(work: Work): Promise<Recording> {
  return await inFolder(async (folder) => {
    const file = join(folder, 'perf.data');
    const record = ['record', '--quiet', '--all-cpus', '--event', 'cpu-clock', '--freq', String(FREQUENCY)];
    await beside('perf', [...record, '-g', '--output', file], work);
    const fields = ['--show-task-events', '--fields', 'comm,pid,tid,time,ip,sym'];
    const script = spawn('perf', ['script', '--input', file, ...fields], { stdio: ['ignore', 'pipe', 'ignore'] });
    return await parseRecording(createInterface({ input: script.stdout }));
  });
}

/** What perf counts in these processes, and in those that they fork, by the names of its events. */
export async function countEvents(pids: readonly number[], events: readonly string[], work: Work) {
  return await inFolder(async (folder) => {
    const file = join(folder, 'stat');
    await beside('perf', ['stat', '-x,', '--event', events.join(), '--output', file, '--pid', pids.join()], work);
    const lines = readFileSync(file, 'utf8').split('\n');
    return new Map(
      lines.flatMap((line) => {
        const [count = '', , event = ''] = line.split(',');
        return event === '' ? [] : [[event, Number(count)] as const];
      }),
    );
  });
}

/** System calls by name, as strace counts them in these processes and in those that they fork. */
export async function countSystemCalls(pids: readonly number[], work: Work): Promise<Map<string, number>> {
  return await inFolder(async (folder) => {
    const file = join(folder, 'strace');
    await beside('strace', ['-f', '-c', '-U', 'calls,name', '-o', file, '-p', pids.join()], work);
    const lines = readFileSync(file, 'utf8').split('\n');
    return new Map(
      lines.flatMap((line) => {
        const [, count, name] = /^\s*(\d+)\s+(\w+)\s*$/.exec(line) ?? [];
        return name === undefined || name === 'total' ? [] : [[name, Number(count)] as const];
      }),
    );
  });
}

/** Does work while a tool looks on, and waits for the tool's end. */
async function beside(command: string, args: readonly string[], work: Work): Promise<void> {
  const child = spawn(command, args, { env: environment(), stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, 'close') as Promise<[number | null]>;
  const early = ended.then(([code]) => {
    throw new Error(`${command} ended with ${code}: ${said.slice(0, 500)}`);
  });
  await Promise.race([sleep(ATTACHED_AFTER_MS), early]);
  try {
    await Promise.race([work(), early]);
  } finally {
    child.kill('SIGINT');
    await early.catch(() => {});
  }
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-profile-'));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
