import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { keepAsIs, lasting } from '../reused-memory.ts';
import { connectReadable, lendPieces, readableByPieces, readPieces } from './piece-reader.ts';

const MANY = randomBytes(3_000_000);

/** Asks a server to upgrade, which then sends something. */
async function upgraded(send: (socket: Duplex) => void, agent = new http.Agent()): Promise<Duplex> {
  const server = http.createServer();
  server.on('upgrade', (_, socket: Duplex) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst ');
    send(socket);
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const headers = { connection: 'Upgrade', upgrade: 'tcp' };
  const request = http.request({ port, host: '127.0.0.1', agent: readableByPieces(agent), headers });
  request.end();
  return await new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('upgrade', (_, socket, head) => {
      // As dockerode does.
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
  });
}

async function ended(stream: Duplex): Promise<void> {
  await new Promise((resolve) => stream.once('close', resolve));
}

describe('a connection that is read by pieces', () => {
  test('loses nothing of what came before and after', async () => {
    const connection = await upgraded((socket) => socket.end(MANY));
    const pieces: Buffer[] = [];
    readPieces(connection, (piece) => pieces.push(Buffer.from(piece)));
    await ended(connection);
    expect(Buffer.concat(pieces).equals(Buffer.concat([Buffer.from('first '), MANY]))).toBe(true);
  });

  test('leaves pieces alone that are kept', async () => {
    const connection = await upgraded((socket) => socket.end(MANY));
    const pieces: { readonly bytes: Buffer }[] = [];
    readPieces(connection, (piece, keep) => pieces.push(keep(piece)));
    await ended(connection);
    expect(
      Buffer.concat(pieces.map(({ bytes }) => bytes))
        .subarray(6)
        .equals(MANY),
    ).toBe(true);
  });

  test('can be written to, and closed while much comes', async () => {
    const heard = Promise.withResolvers<string>();
    const connection = await upgraded((socket) => {
      socket.once('data', (chunk) => heard.resolve(String(chunk)));
      socket.write(MANY);
    });
    let bytes = 0;
    readPieces(connection, (piece) => {
      bytes += piece.length;
      if (bytes > MANY.length / 2) connection.destroy();
    });
    connection.write('hello');
    expect(await heard.promise).toBe('hello');
    await ended(connection);
  });

  test('answers other requests as any connection does', async () => {
    const server = http.createServer((_, response) => response.end(MANY));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const agent = readableByPieces(new http.Agent({ keepAlive: true }));
    for (let call = 0; call < 3; call += 1) {
      const response = await new Promise<http.IncomingMessage>((resolve) => {
        http.get({ port, host: '127.0.0.1', agent }, resolve);
      });
      expect(Buffer.concat(await Array.fromAsync(response)).equals(MANY)).toBe(true);
    }
    agent.destroy();
    server.close();
  });
});

describe('a connection that lends its pieces', () => {
  test("has them read by Node's client, which keeps nothing of that memory", async () => {
    const server = http.createServer((_, response) => response.end(MANY));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const socket = connectReadable({ port, host: '127.0.0.1' });
    lendPieces(socket);
    let lent = 0;
    socket.on('data', (piece: Buffer) => {
      if (lasting(piece) !== piece) lent += 1;
    });
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ createConnection: () => socket }, resolve);
    });
    const pieces: Buffer[] = [];
    for await (const piece of response) pieces.push(piece);
    expect(lent).toBeGreaterThan(0);
    expect(pieces.every((piece) => lasting(piece) === piece)).toBe(true);
    expect(Buffer.concat(pieces).equals(MANY)).toBe(true);
    server.close();
  });

  test('copies what has to wait for its listeners', async () => {
    const server = createServer((socket) => void socket.end(MANY));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const socket = connectReadable({ port, host: '127.0.0.1' });
    lendPieces(socket);
    const pieces: Buffer[] = [];
    socket.on('data', (piece: Buffer) => {
      pieces.push(lasting(piece));
      socket.pause();
      setImmediate(() => socket.resume());
    });
    await ended(socket);
    expect(Buffer.concat(pieces).equals(MANY)).toBe(true);
    server.close();
  });
});

test('a connection that is read by pieces waits while it is paused', async () => {
  const server = createServer((socket) => void socket.end(MANY));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const socket = connectReadable({ port, host: '127.0.0.1' });
  const pieces: Buffer[] = [];
  let isOver = false;
  readPieces(socket, (piece) => {
    expect(socket.isPaused()).toBe(false);
    pieces.push(Buffer.from(piece));
    socket.pause();
    setImmediate(() => socket.resume());
  });
  socket.on('end', () => {
    isOver = true;
  });
  await ended(socket);
  expect(isOver).toBe(true);
  expect(Buffer.concat(pieces).equals(MANY)).toBe(true);
  server.close();
});

test('a connection that no such agent opened is read by its events', async () => {
  const connection = new PassThrough();
  const pieces: Buffer[] = [];
  readPieces(connection, (piece, keep) => {
    expect(keep).toBe(keepAsIs);
    pieces.push(piece);
  });
  connection.end('all');
  await ended(connection);
  expect(Buffer.concat(pieces).toString()).toBe('all');
});
