import type Docker from 'dockerode';
import { explain } from './answer.ts';
import { killExecOptions, PROCESS_COLUMNS } from './hardening/spec.ts';

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

/** Returns whether `uid` runs a process in the container, as seen from outside. @throws GloveboxError as `killUser` does */
export async function hasProcesses(container: Docker.Container, uid: number): Promise<boolean> {
  const top = await explain(container.top({ ps_args: PROCESS_COLUMNS }));
  const processes: string[][] = top.Processes ?? [];
  return processes.some(([, owner, state]) => Number(owner) === uid && !state?.startsWith('Z'));
}
