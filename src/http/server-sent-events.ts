import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { Env } from './route.ts';

/** Sends one event; settles when the client can take more. */
export type SendEvent = (event: string, data: string, id: string) => Promise<void>;

/** An answer of Server-Sent Events, kept alive by comments while there is nothing to send; it ends with the work. */
export function streamEvents(c: Context<Env>, keepAliveMs: number, work: (send: SendEvent) => Promise<void>): Response {
  c.header('X-Accel-Buffering', 'no');
  return streamSSE(c, async (stream) => {
    const keepAlive = setInterval(() => void stream.write(': keepalive\n\n'), keepAliveMs);
    try {
      await work((event, data, id) => stream.writeSSE({ event, data, id }));
    } finally {
      clearInterval(keepAlive);
    }
  });
}
