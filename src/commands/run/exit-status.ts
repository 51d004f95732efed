import { constants } from 'node:os';
import type { ProgramEnd } from '../../client/client.ts';

/** Exit status of a command that failed itself, as of `docker run`. Programs have their own. */
export const OWN_FAILURE = 125;
/** As of `timeout`. */
const TIME_LIMIT = 124;
/** As of a process that a signal of this number ended. */
const BY_SIGNAL = 128;

/** Returns the exit status for how a program ended. */
export function exitStatus({ status, exitCode, signal }: ProgramEnd): number {
  switch (status) {
    case 'ok':
    case 'error':
      return exitCode ?? OWN_FAILURE;
    case 'timeout':
      return TIME_LIMIT;
    case 'cancelled':
      return statusOf('SIGINT');
    case 'out_of_memory':
      return statusOf('SIGKILL');
    case 'crashed':
      return signal !== undefined && isSignal(signal) ? statusOf(signal) : (exitCode ?? OWN_FAILURE);
  }
}

/** Returns the exit status of a process that this signal ended. */
export function statusOf(signal: NodeJS.Signals): number {
  return BY_SIGNAL + constants.signals[signal];
}

function isSignal(name: string): name is NodeJS.Signals {
  return Object.hasOwn(constants.signals, name);
}
