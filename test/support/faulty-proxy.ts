import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** Changes a piece of bytes on its way; undefined cuts the connection. `total`: bytes of its direction before it. */
export type Fault = (piece: Buffer, total: number) => Buffer | undefined;

/** A TCP proxy that does to bytes what a test asks for. */
export interface FaultyProxy extends AsyncDisposable {
  readonly port: number;
  /** Connections so far. */
  readonly connections: number;
  /** What happens to bytes on the way to the server, and back, of connections that begin from now on. */
  toServer: Fault | undefined;
  toClient: Fault | undefined;
  /** Holds all bytes back until the promise resolves. */
  hold: Promise<void> | undefined;
  /** How long each direction of a connection takes for 1 MiB, in milliseconds; 0: as long as it takes. */
  msPerMib: number;
  /** Cuts all connections. */
  cut(): void;
}

export async function openFaultyProxy(port: number): Promise<FaultyProxy> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    proxy.connections += 1;
    const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
    }
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    void pass(client, upstream, proxy.toServer, end);
    void pass(upstream, client, proxy.toClient, end);
  });
  const pass = async (from: Socket, to: Socket, fault: Fault | undefined, end: () => void) => {
    let total = 0;
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        await proxy.hold;
        if (proxy.msPerMib > 0) await wait((proxy.msPerMib * piece.length) / 2 ** 20);
        const passed = fault ? fault(piece, total) : piece;
        total += piece.length;
        if (!passed) return end();
        if (!to.write(passed)) await once(to, 'drain');
      }
      to.end();
    } catch {
      end();
    }
  };
  const proxy = {
    port: 0,
    connections: 0,
    toServer: undefined as Fault | undefined,
    toClient: undefined as Fault | undefined,
    hold: undefined as Promise<void> | undefined,
    msPerMib: 0,
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy.port = (server.address() as AddressInfo).port;
  return proxy;
}
