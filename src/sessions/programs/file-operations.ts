import type { ExecutionEnd, ExecutionOptions, ExecutionRequest, Executor } from '../../execution/request.ts';
import { traceSession } from '../../telemetry/session-spans.ts';
import { isTracing } from '../../telemetry/trace.ts';
import type { SessionIdentity } from '../identity.ts';

/** Runs operations on the files of a session, which stays awake meanwhile. */
export function whileInUse(session: Executor & { use(): Disposable }): Executor {
  return {
    execute: async (request, options) => {
      using _held = session.use();
      return await session.execute(request, options);
    },
  };
}

/**
 * Runs an operation on the files of a session as a span, from the request for it to its last byte. No path is in it: an
 * owner's names may be private. Anything else is run as it is.
 */
export function followFiles(
  session: Pick<SessionIdentity, 'id' | 'owner'>,
  request: ExecutionRequest,
  options: ExecutionOptions,
  run: (options: ExecutionOptions) => Promise<ExecutionEnd>,
): Promise<ExecutionEnd> {
  if (request.file === undefined || !isTracing()) return run(options);
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
      const end = await run(counted);
      span?.set({ 'glovebox.execution.status': end.status });
      return end;
    } finally {
      const { op } = request.file as { op?: string };
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
