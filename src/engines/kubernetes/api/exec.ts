import { finished } from 'node:stream/promises';
import { GloveboxError } from '../../../errors.ts';
import { within } from '../../../lib/deadline.ts';
import { refusalOf } from './answer.ts';
import type { KubernetesClient } from './client.ts';
import { ExecConnection, type ExecEnd, PROTOCOL } from './exec-connection.ts';
import { podPath } from './pod.ts';

export type { ExecConnection, ExecEnd } from './exec-connection.ts';

/** Most bytes of the output of a short program. */
const OUTPUT_LIMIT = 64 * 1024;

export interface ExecTarget {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** Program and arguments. They get no environment, user or folder of their own. */
  readonly command: readonly string[];
  /** Whether the program's standard input is left open; true if left out. */
  readonly stdin?: boolean;
  /** Takes what the program writes to standard error, by pieces that last as long as the call. */
  readonly onStderr?: (piece: Buffer) => void;
}

/**
 * Starts a program in a container of a pod, with its standard streams connected.
 * @throws GloveboxError `sandbox_lost` if there is no such pod; what other refusals mean, as each call of the client does.
 *   A program or container that is missing, and a node that does not answer, are the connection's end `refused`.
 */
export async function openExec(client: KubernetesClient, target: ExecTarget): Promise<ExecConnection> {
  const { namespace, pod, container, command, stdin = true, onStderr = () => {} } = target;
  const path = `${podPath(namespace, pod)}/exec`;
  const query = { container, command, ...(stdin ? { stdin } : {}), stdout: true, stderr: true };
  try {
    return new ExecConnection(await client.upgrade(path, query, PROTOCOL), onStderr);
  } catch (error) {
    throw isTooOld(error) ? tooOld(error) : error;
  }
}

/** Whether an error says that the server does not speak the protocol. */
function isTooOld(error: unknown): boolean {
  const refusal = refusalOf(error);
  // Such a server refuses the handshake without a word.
  if (refusal) return refusal.reason === '' && [400, 403].includes(refusal.statusCode);
  return error instanceof Error && error.cause instanceof Error && /subprotocol/i.test(error.cause.message);
}

function tooOld(cause: unknown): GloveboxError {
  return new GloveboxError('engine_unavailable', `The API server does not speak "${PROTOCOL}" for an exec.`, {
    hint: 'Upgrade the cluster to Kubernetes 1.30 or newer. A proxy in front of it must let WebSockets through.',
    cause,
  });
}

export interface ExecOutcome {
  readonly end: ExecEnd;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a short program in a container without any input, and collects what it prints.
 * @param timeoutMs milliseconds until it counts as broken. It may go on.
 * @throws GloveboxError as `openExec` does
 */
export async function runExec(
  client: KubernetesClient,
  target: Omit<ExecTarget, 'stdin' | 'onStderr'>,
  timeoutMs: number,
): Promise<ExecOutcome> {
  const [stdout, stderr] = [new Collected(), new Collected()];
  const connection = await openExec(client, { ...target, stdin: false, onStderr: (piece) => stderr.add(piece) });
  connection.on('data', (piece: Buffer) => stdout.add(piece));
  const read = finished(connection, { writable: false }).catch(() => {});
  const end = await within(timeoutMs, connection.ended);
  if (end?.kind === 'exit') await read;
  connection.destroy();
  return {
    end: end ?? { kind: 'broken', why: `no end within ${timeoutMs} ms` },
    stdout: stdout.text,
    stderr: stderr.text,
  };
}

/** The first bytes of an output. */
class Collected {
  readonly #pieces: Buffer[] = [];
  #length = 0;

  add(piece: Buffer): void {
    const room = OUTPUT_LIMIT - this.#length;
    if (room <= 0) return;
    this.#pieces.push(Buffer.from(piece.subarray(0, room)));
    this.#length += piece.length;
  }

  get text(): string {
    return Buffer.concat(this.#pieces).toString();
  }
}
