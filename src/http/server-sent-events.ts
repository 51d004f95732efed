import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { Env } from './route.ts';

/** Sends one event, whose data is JSON. Resolves when the client can receive more. */
export type SendEvent = (event: string, data: string, id: string) => Promise<void>;

/** Sends whole events as they are. */
type SendEvents = (events: Uint8Array) => Promise<void>;

/**
 * Answers with Server-Sent Events. Comments keep the connection alive while there is nothing to send. The stream ends
 * when `work` does.
 * @param keepAliveMs interval between two comments, in milliseconds
 */
export function streamEvents(
  c: Context<Env>,
  keepAliveMs: number,
  work: (send: SendEvent, sendAll: SendEvents) => Promise<void>,
): Response {
  c.header('X-Accel-Buffering', 'no');
  return streamSSE(c, async (stream) => {
    const keepAlive = setInterval(() => void stream.write(': keepalive\n\n'), keepAliveMs);
    try {
      // JSON has no line ends, which `writeSSE` would look for with several copies of the data.
      await work(
        async (event, data, id) => void (await stream.write(`event: ${event}\ndata: ${data}\nid: ${id}\n\n`)),
        async (events) => void (await stream.write(events)),
      );
    } finally {
      clearInterval(keepAlive);
    }
  });
}
