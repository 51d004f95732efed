import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { explain } from './answer.ts';
import { ExecStream } from './demux.ts';
import { lookExecOptions } from './hardening/gvisor.ts';
import { killExecOptions, MAIN_UID } from './hardening/spec.ts';
import { createExec } from './told.ts';

/**
 * Ends every process of `uid` in the container. False when the one that was to do so ended without a word: something
 * has killed it.
 * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
 */
export async function killUser(container: Docker.Container, uid: number): Promise<boolean> {
  const stream = await startExec(container, killExecOptions(uid));
  let hasSpoken = false;
  stream.on('data', () => {
    hasSpoken = true;
  });
  // The stream ends with the killing shell, or breaks with the engine. A look at the processes then tells the result.
  await ended(stream);
  return hasSpoken;
}

/**
 * Lists the processes of a container as the engine sees them.
 * @param columns arguments of `top` for the columns process, user and state
 * @throws GloveboxError as `killUser` does
 */
export async function listProcesses(container: Docker.Container, columns: string): Promise<readonly string[][]> {
  const top = await explain(container.top({ ps_args: columns }));
  return top.Processes ?? [];
}

/**
 * Lists the processes of a container as its main user sees them, in the columns process, user and state; nothing if the
 * list is not whole.
 * @throws GloveboxError as `killUser` does
 */
export async function listProcessesInside(container: Docker.Container): Promise<readonly string[][]> {
  return readStates(await runForOutput(container, lookExecOptions()));
}

/** Reads what the exec of {@link lookExecOptions} prints. */
function readStates(output: string): string[][] {
  const lines = output.trimEnd().split('\n');
  if (lines.pop() !== 'done') return [];
  const processes: string[][] = [];
  let state = '';
  for (const line of lines) {
    const [name, value = ''] = line.split(/\s+/);
    if (name === 'State:') state = value;
    else processes.push(['', value, state]);
  }
  return processes;
}

/**
 * Runs a short program in a container.
 * @returns what it printed until it ended, or the engine broke off
 * @throws GloveboxError as `killUser` does
 */
export async function runForOutput(container: Docker.Container, options: Docker.ExecCreateOptions): Promise<string> {
  const stream = new ExecStream(await startExec(container, options), () => {});
  const output: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => output.push(chunk));
  await ended(stream);
  stream.destroy();
  return Buffer.concat(output).toString();
}

async function startExec(container: Docker.Container, options: Docker.ExecCreateOptions): Promise<Duplex> {
  const exec = await createExec(container, options);
  return await explain(exec.start({ hijack: true, stdin: false }), (late) => late.destroy());
}

async function ended(stream: Duplex): Promise<void> {
  await new Promise((resolve) => stream.once('close', resolve).once('end', resolve).once('error', resolve));
}

/**
 * Returns whether a list of processes has a live one of a user of the sandbox. With remapped users, the host has each
 * under a number that is higher by the same amount: that of the main process, whose user is the highest, tells how much.
 * A list without the main process shows nothing, so it does not show that there is none.
 */
export function listsUser(processes: readonly (readonly string[])[], uid: number): boolean {
  const offset = Math.max(...processes.map(([, owner]) => Number(owner))) - MAIN_UID;
  if (!(offset >= 0)) return true;
  return processes.some(([, owner, state = '']) => Number(owner) - offset === uid && !ENDED.test(state));
}

/**
 * State of a process that has ended. One whose first thread has ended is shown as a zombie, too, while its other threads
 * run; `ps` then says that it has several (l).
 */
const ENDED = /^Z[^l]*$/;
