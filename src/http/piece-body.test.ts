import { createServer, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { answerByPieces, type PieceBody, sendPieces } from './piece-body.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** Serves one body, and returns the answer to a request for it. */
async function answered(body: PieceBody, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const server = createServer((_, outgoing) => {
    sendPieces(answerByPieces(body, { status: 206, headers }), outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  return await new Promise((resolve, reject) => get({ port, host: '127.0.0.1' }, resolve).once('error', reject));
}

test('a body comes whole, though its memory is used again for each batch', async () => {
  const memory = Buffer.alloc(300_000);
  async function* batches(): AsyncGenerator<readonly Buffer[]> {
    for (let value = 1; value <= 20; value += 1) {
      memory.fill(value);
      yield [memory.subarray(0, 100_000), memory.subarray(100_000)];
    }
  }
  const end = Promise.withResolvers<unknown>();
  const answer = await answered({ batches: batches(), end: async (failure) => end.resolve(failure) }, { 'x-y': 'z' });
  expect([answer.statusCode, answer.headers['x-y']]).toEqual([206, 'z']);
  const got = Buffer.concat(await Array.fromAsync(answer));
  const sent = Buffer.concat(Array.from({ length: 20 }, (_, at) => Buffer.alloc(300_000, at + 1)));
  expect(got.equals(sent)).toBe(true);
  expect(await end.promise).toBeUndefined();
});

test('a body that fails is cut off', async () => {
  const failure = new Error('no more');
  async function* batches(): AsyncGenerator<readonly Buffer[]> {
    yield [Buffer.from('begun')];
    throw failure;
  }
  const end = Promise.withResolvers<unknown>();
  const answer = await answered({ batches: batches(), end: async (reason) => end.resolve(reason) });
  await expect(Array.fromAsync(answer)).rejects.toThrow('aborted');
  expect(await end.promise).toBe(failure);
});

async function* endless(): AsyncGenerator<readonly Buffer[]> {
  for (;;) yield [Buffer.alloc(1_000_000)];
}

test('a client that goes away ends the body, which is no failure', async () => {
  const end = Promise.withResolvers<unknown>();
  const answer = await answered({ batches: endless(), end: async (reason) => end.resolve(reason) });
  answer.once('data', () => answer.destroy());
  expect(await end.promise).toBeUndefined();
});

test('a client that takes nothing for its time is cut off', async () => {
  const end = Promise.withResolvers<unknown>();
  await answered({ batches: endless(), end: async (reason) => end.resolve(reason), stallMs: 20 });
  expect(await end.promise).toMatchObject({ code: 'request_timeout' });
});
