import type { Duplex } from 'node:stream';
import type { Upgraded } from '../../peers/client.ts';
import { ServerFrames } from './server-frames.ts';

/** Of the answer of another control plane, what a client of a WebSocket has to know. */
const TOLD = ['upgrade', 'sec-websocket-accept', 'sec-websocket-protocol', 'sec-websocket-extensions'];
/** Time in milliseconds for a client to answer that its connection ends. */
const CLOSE_MS = 1000;

/** The connection of a client that was joined with that of another control plane. */
export interface JoinedSockets {
  /** Ends it as a WebSocket ends, with a code and a reason. */
  close(code: number, reason: string): void;
}

/** Joins the connection of a client with that of another control plane. Each ends with the other. */
export function joinSockets(client: Duplex, head: Buffer, upgraded: Upgraded, closing: AbortSignal): JoinedSockets {
  const { response, socket: other } = upgraded;
  const frames = new ServerFrames();
  const end = () => {
    closing.removeEventListener('abort', end);
    for (const each of [client, other, frames]) each.destroy();
  };
  if (client.destroyed || closing.aborted) {
    end();
    return { close: end };
  }
  const told = TOLD.flatMap((name) => {
    const value = response.headers[name];
    return typeof value === 'string' ? [`${name}: ${value}\r\n`] : [];
  });
  client.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${told.join('')}\r\n`);
  frames.write(upgraded.head);
  other.write(head);
  closing.addEventListener('abort', end, { once: true });
  for (const socket of [client, other]) socket.on('error', end).once('close', end).once('finish', end);
  other.pipe(frames).pipe(client);
  client.pipe(other);
  return {
    close: (code, reason) => {
      // The client still answers.
      client.off('finish', end);
      frames.close(code, reason);
      setTimeout(end, CLOSE_MS).unref();
    },
  };
}
