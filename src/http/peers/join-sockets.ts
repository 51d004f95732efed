import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream';
import type { Upgraded } from '../../peers/client.ts';

/** Of the answer of another control plane, what a client of a WebSocket has to know. */
const TOLD = ['upgrade', 'sec-websocket-accept', 'sec-websocket-protocol', 'sec-websocket-extensions'];

/** Joins the connection of a client with that of another control plane. Each ends with the other. */
export function joinSockets(client: Duplex, head: Buffer, upgraded: Upgraded, closing: AbortSignal): void {
  const { response, socket: other } = upgraded;
  const end = () => {
    client.destroy();
    other.destroy();
  };
  if (client.destroyed || closing.aborted) {
    end();
    return;
  }
  const told = TOLD.flatMap((name) => {
    const value = response.headers[name];
    return typeof value === 'string' ? [`${name}: ${value}\r\n`] : [];
  });
  client.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${told.join('')}\r\n`);
  client.write(upgraded.head);
  other.write(head);
  closing.addEventListener('abort', end, { once: true });
  const done = () => {
    closing.removeEventListener('abort', end);
    end();
  };
  pipeline(client, other, done);
  pipeline(other, client, done);
}
