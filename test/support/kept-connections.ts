import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type Dockerode from 'dockerode';
import { createDockerClient } from '../../src/engines/docker/connect/connect.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: keep-alive\r\n\r\n{"ID":1,"Id":"1"}';

/** An engine whose connections are kept open, and can all be cut. It answers `{"ID":1,"Id":"1"}` to everything. */
export interface KeptConnections extends Disposable {
  readonly docker: Dockerode;
  /** Answers nothing from now on by the connections that there are. */
  deafen(): void;
  /** Number of connections so far. */
  connections(): number;
}

export async function keepConnections(): Promise<KeptConnections> {
  const sockets: Socket[] = [];
  const deaf = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', () => (deaf.has(socket) ? socket.resetAndDestroy() : socket.write(ANSWER)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    docker: createDockerClient({ address: `tcp://127.0.0.1:${port}`, source: 'DOCKER_HOST' }),
    deafen: () => {
      for (const socket of sockets) deaf.add(socket);
    },
    connections: () => sockets.length,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
