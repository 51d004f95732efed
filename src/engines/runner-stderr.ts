import type { Log } from '../log.ts';
import { type SandboxRef, shortName } from '../sandbox/engine.ts';

/** Most characters of a runner's stderr in the log. Only a broken or hostile runner writes there. */
const STDERR_LIMIT = 2048;

/** Returns what takes the stderr of a runner, and logs its beginning. */
export function logRunnerStderr(log: Log, ref: SandboxRef): (piece: Buffer) => void {
  let logged = 0;
  return (piece) => {
    if (logged < STDERR_LIMIT)
      log.warn('a runner wrote to stderr', {
        sandbox: shortName(ref),
        text: piece.toString('utf8', 0, STDERR_LIMIT),
      });
    logged += piece.length;
  };
}
