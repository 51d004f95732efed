export interface LateStreamOptions {
  /** Time to wait for the answer before a stream is started, in milliseconds. */
  readonly graceMs: number;
  /** Interval between two keep-alive comments, in milliseconds. */
  readonly keepAliveMs: number;
}

/**
 * Resolves with the answer itself if it is ready soon, which costs least. Otherwise with a stream that starts now, is
 * kept alive by comments, and ends with the answer: clients and proxies abort a call that does not send headers.
 */
export async function streamIfLate(answer: Promise<Response>, options: LateStreamOptions): Promise<Response> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, options.graceMs, undefined);
  });
  try {
    return (await Promise.race([answer, late])) ?? startStream(answer, options.keepAliveMs);
  } finally {
    clearTimeout(timer);
  }
}

function startStream(answer: Promise<Response>, keepAliveMs: number): Response {
  const encoder = new TextEncoder();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const write = (text: string) => writer.write(encoder.encode(text)).catch(() => undefined); // The client has gone.
  const keepAlive = setInterval(() => void write(': keepalive\n\n'), keepAliveMs);
  const finish = async () => {
    const response = await answer.finally(() => clearInterval(keepAlive));
    if (response.body && response.headers.get('content-type')?.startsWith('text/event-stream')) {
      writer.releaseLock();
      await response.body.pipeTo(writable);
      return;
    }
    const text = await response.text();
    if (text !== '') await write(`event: message\ndata: ${text}\n\n`); // Empty when the server is closing.
    await writer.close();
  };
  // Without an answer, one of the two sides has closed the connection.
  finish().catch(() => writer.close().catch(() => undefined));
  return new Response(readable, {
    headers: {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    },
  });
}
