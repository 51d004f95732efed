export interface LateStreamOptions {
  /** How long to wait for the answer itself. */
  readonly graceMs: number;
  /** Between two comments while there is nothing to say. */
  readonly keepAliveMs: number;
}

/**
 * The answer, if it is there soon: as plain JSON with a status of its own, which costs least. Otherwise
 * a stream that begins now, stays alive by comments, and ends with the answer: clients and proxies give up
 * on a call that does not even send headers.
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
  const write = (text: string) => writer.write(encoder.encode(text)).catch(() => undefined); // The client is gone.
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
  // Without an answer the exchange was torn down, from either side.
  finish().catch(() => writer.close().catch(() => undefined));
  return new Response(readable, {
    headers: {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-cache, no-transform',
      'X-Accel-Buffering': 'no',
    },
  });
}
