import type Docker from 'dockerode';
import { explain } from './answer.ts';
import { killExecOptions, MAIN_UID } from './hardening/spec.ts';

/**
 * Ends every process of `uid` in the container. False when the one that was to do so ended without a word: something
 * has killed it.
 * @throws GloveboxError `sandbox_lost` or `engine_unavailable`
 */
export async function killUser(container: Docker.Container, uid: number): Promise<boolean> {
  const exec = await explain(container.exec(killExecOptions(uid)));
  const stream = await explain(exec.start({ hijack: true, stdin: false }), (late) => late.destroy());
  let hasSpoken = false;
  stream.on('data', () => {
    hasSpoken = true;
  });
  // The stream ends with the killing shell, or breaks with the engine. `hasProcesses` then tells the result.
  await new Promise((resolve) => stream.once('close', resolve).once('end', resolve).once('error', resolve));
  return hasSpoken;
}

/**
 * Returns whether `uid` runs a process in the container, as seen from outside.
 * @param columns arguments of `top` for the columns process, user and state
 * @throws GloveboxError as `killUser` does
 */
export async function hasProcesses(container: Docker.Container, uid: number, columns: string): Promise<boolean> {
  const top = await explain(container.top({ ps_args: columns }));
  return listsUser(top.Processes ?? [], uid);
}

/**
 * Returns whether a list of processes has a live one of a user of the sandbox. With remapped users, the host has each
 * under a number that is higher by the same amount: that of the main process, whose user is the highest, tells how much.
 * A list without the main process shows nothing, so it does not show that there is none.
 */
export function listsUser(processes: readonly (readonly string[])[], uid: number): boolean {
  const offset = Math.max(...processes.map(([, owner]) => Number(owner))) - MAIN_UID;
  if (!(offset >= 0)) return true;
  return processes.some(([, owner, state]) => Number(owner) - offset === uid && !state?.startsWith('Z'));
}
