import type { ExecutionOptions, ExecutionRequest, Executor } from '../../execution/request.ts';
import { traceSession } from '../../telemetry/session-spans.ts';
import { isTracing } from '../../telemetry/trace.ts';
import type { SessionIdentity } from '../identity.ts';

/**
 * Runs each operation on the files of a session as a span, from the request for it to its last byte. No path is in it: an
 * owner's names may be private.
 */
export function traceFiles(session: Pick<SessionIdentity, 'id' | 'owner'>, executor: Executor): Executor {
  return {
    execute: (request, options) =>
      isTracing() ? follow(session, executor, request, options) : executor.execute(request, options),
  };
}

function follow(
  session: Pick<SessionIdentity, 'id' | 'owner'>,
  executor: Executor,
  request: ExecutionRequest,
  options: ExecutionOptions,
) {
  return traceSession('glovebox.files', session, async (span) => {
    let [sent, received] = [0, 0];
    const onSent = (bytes: number) => {
      sent += bytes;
    };
    const { onOutput, stdin } = options;
    const counted: ExecutionOptions = {
      ...options,
      onOutput: (stream, chunk, keep) => {
        received += chunk.length;
        return onOutput(stream, chunk, keep);
      },
      ...(stdin ? { stdin: watch(stdin, onSent) } : {}),
    };
    try {
      const end = await executor.execute(request, counted);
      span?.set({ 'glovebox.execution.status': end.status });
      return end;
    } finally {
      const { op } = (request.file ?? {}) as { op?: string };
      span?.set({
        'glovebox.files.operation': op,
        'glovebox.files.sent_bytes': sent,
        'glovebox.files.received_bytes': received,
      });
    }
  });
}

async function* watch(
  pieces: NonNullable<ExecutionOptions['stdin']>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Buffer | readonly [Buffer, Buffer], void, undefined> {
  for await (const piece of pieces) {
    onBytes(Buffer.isBuffer(piece) ? piece.length : piece[0].length + piece[1].length);
    yield piece;
  }
}
