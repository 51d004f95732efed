import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, Executor } from '../../execution/request.ts';
import { traceSession } from '../../telemetry/session-spans.ts';
import { isTracing } from '../../telemetry/trace.ts';
import type { SessionIdentity } from '../identity.ts';

/** Part of a session that operations on its files need. */
interface FilesSession extends Executor, Pick<SessionIdentity, 'id' | 'owner'> {
  /** Keeps it awake until disposed of. */
  use(): Disposable;
}

/**
 * Runs each operation on the files of a session as a span, from the request for it to its last byte. No path is in it: an
 * owner's names may be private.
 */
export function tracedFiles(session: FilesSession): Executor {
  return {
    execute: async (request, options) => {
      using _held = session.use();
      return await (isTracing() ? follow(session, request, options) : session.execute(request, options));
    },
  };
}

function follow(session: FilesSession, request: ExecutionRequest, options: ExecutionOptions): Promise<ExecutionEnd> {
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
      const end = await session.execute(request, counted);
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
