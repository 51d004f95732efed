import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { RequestBody } from './body.ts';

const BYTES = 3_000_000;

let servers: Server[] = [];

afterEach(() => {
  for (const server of servers) server.close();
  servers = [];
});

/** Receives one request, and says what came of reading its body. */
async function receive<T>(read: (body: RequestBody, incoming: IncomingMessage) => Promise<T>) {
  const outcome = Promise.withResolvers<T>();
  const server = createServer((incoming, outgoing) => {
    const headers = incoming.headers['content-length'];
    const request = new Request('http://x/', {
      method: 'PUT',
      ...(headers === undefined ? {} : { headers: { 'content-length': headers } }),
    });
    read(new RequestBody(request, 60_000, incoming), incoming)
      .then(outcome.resolve, outcome.reject)
      .finally(() => outgoing.end());
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, outcome: outcome.promise };
}

test.each([true, false])(
  'a body that is read from the server arrives as it was sent (fleeting: %j)',
  async (fleeting) => {
    const content = randomBytes(BYTES);
    const { port, outcome } = await receive(async (body) => {
      const copies: Buffer[] = [];
      for await (const piece of body.chunks(BYTES, fleeting)) copies.push(Buffer.from(Uint8Array.from(piece)));
      return Buffer.concat(copies);
    });
    await fetch(`http://127.0.0.1:${port}`, { method: 'PUT', body: content });
    expect((await outcome).equals(content)).toBe(true);
  },
);

test('a fleeting piece is freed when the next one is asked for', async () => {
  const { port, outcome } = await receive(async (body) => {
    const large: Uint8Array[] = [];
    for await (const piece of body.chunks(BYTES, true)) if (piece.byteLength >= 32 * 1024) large.push(piece);
    return large;
  });
  await fetch(`http://127.0.0.1:${port}`, { method: 'PUT', body: randomBytes(BYTES) });
  const large = await outcome;
  expect(large.length).toBeGreaterThan(0);
  expect(large.filter(({ byteLength }) => byteLength > 0)).toEqual([]);
});

test('a body that breaks off is told so', async () => {
  const { port, outcome } = await receive(async (body) => {
    for await (const _ of body.chunks(BYTES));
  });
  outcome.catch(() => {});
  const client = connect(port, '127.0.0.1');
  client.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this');
  client.end();
  await expect(outcome).rejects.toMatchObject({ code: 'invalid_input', message: /connection broke/ });
});

test('the rest of a refused body is read, so that its sender sees the answer', async () => {
  const { port } = await receive(async (body) => {
    const refused = body.chunks(1000).next();
    await expect(refused).rejects.toMatchObject({ code: 'payload_too_large' });
    await body.discard();
  });
  const response = await fetch(`http://127.0.0.1:${port}`, { method: 'PUT', body: randomBytes(BYTES) });
  expect(response.ok).toBe(true);
});
