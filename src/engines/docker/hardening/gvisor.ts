import type Docker from 'dockerode';
import { MAIN_UID, shellExecOptions } from './spec.ts';

/** What a sandbox of gVisor needs besides the options of its container. See docs/decisions/gvisor.md. */

const PIDS_MAX = '/sys/fs/cgroup/pids/pids.max';

/**
 * Exec options that set the limit of processes inside. The engine's limit counts threads of gVisor's own, and ends the
 * whole sandbox; this one refuses the next process. It belongs to root, who needs no capability for that, and the code is
 * another user. They print "done".
 */
export function limitExecOptions(pids: number): Docker.ExecCreateOptions {
  return shellExecOptions(0, `echo ${pids} > ${PIDS_MAX} && echo done`);
}

/** The limit of processes that an exec sets; undefined if it is another exec. */
export function readLimit(options: unknown): number | undefined {
  const { Cmd } = (options ?? {}) as { readonly Cmd?: readonly unknown[] };
  const pids = /^echo ([1-9]\d{0,6}) > /.exec(String(Cmd?.[2]))?.[1];
  return pids === undefined ? undefined : Number(pids);
}

/**
 * Exec options that print the state and the user of each process of a sandbox, one line each, and "done" at the end. The
 * engine cannot list them. They run as the main user: code can neither end nor change them.
 */
export function lookExecOptions(): Docker.ExecCreateOptions {
  return shellExecOptions(MAIN_UID, 'grep -hsE "^(State|Uid):" /proc/[0-9]*/status; echo done');
}
