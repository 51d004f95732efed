import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { askAgain } from './answer.ts';
import { createDockerClient } from './connect/connect.ts';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}';

/** An engine whose connections are kept open, and can all be cut. */
async function openEngine() {
  const sockets: Socket[] = [];
  let isDeaf = false;
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', () => (isDeaf ? socket.resetAndDestroy() : socket.write(ANSWER)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    docker: createDockerClient({ address: `tcp://127.0.0.1:${port}`, source: 'DOCKER_HOST' }),
    /** Answers nothing from now on by the connections that there are. */
    deafen: () => {
      isDeaf = true;
      server.once('connection', () => {
        isDeaf = false;
      });
    },
    connections: () => sockets.length,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('an engine whose kept connections have all broken was taken for one that does not answer', async () => {
  using engine = await openEngine();
  await Promise.all([1, 2, 3].map(() => engine.docker.version()));
  expect(engine.connections()).toBe(3);
  engine.deafen();
  expect(await askAgain(() => engine.docker.version())).toEqual({});
  expect(engine.connections()).toBe(4);
});

test.each([
  ['refuses connections', 'ECONNREFUSED', 1],
  ['breaks each connection', 'ECONNRESET', 5],
])('an engine that %s is given up', async (_what, code, calls) => {
  let made = 0;
  const call = async () => {
    made += 1;
    throw Object.assign(new Error(code), { code });
  };
  await expect(askAgain(call)).rejects.toThrow(code);
  expect(made).toBe(calls);
});
