import type { PieceStream } from '../../lib/reused-memory.ts';
import type { Log } from '../../log.ts';
import type { ExecConnection } from './api/exec.ts';
import type { PodId, Pods } from './pods.ts';

/** Time without any bytes after which a runner is asked for a sign of life, in milliseconds. */
const HEARTBEAT_MS = 15_000;
/**
 * Looks in a row at which a connection is silent and its node ready, until the connection counts as broken. The cluster
 * notices later than the connection that a node is cut off, and such a connection may go on without a loss.
 */
const MOST_LOOKS = 2;

/**
 * Makes the connection of a runner from an exec. It ends with the pod, and where it stays silent although the pod's node
 * is there. While the node is not ready, it is left alone.
 */
export function runnerStream(connection: ExecConnection, pod: PodId, pods: Pods, log: Log): PieceStream {
  let looks = 0;
  let lookedAt = 0;
  const onSilent = () => {
    const now = performance.now();
    // Something has come since the last look.
    if (now - lookedAt > 1.5 * HEARTBEAT_MS) looks = 0;
    lookedAt = now;
    const standing = pods.known(pod);
    looks = standing?.kind === 'running' && !standing.isCutOff ? looks + 1 : 0;
    if (looks < MOST_LOOKS) return;
    log.warn('the connection to a sandbox is silent, and is made anew', { pod: pod.name });
    connection.destroy();
  };
  const lost = pods.onLost(pod, () => connection.destroy());
  connection.once('close', () => lost[Symbol.dispose]());
  const heartbeat = {
    everyMs: HEARTBEAT_MS,
    onSilent,
    get outage() {
      return pods.outageOf(pod);
    },
  };
  return Object.assign(connection, { heartbeat });
}
