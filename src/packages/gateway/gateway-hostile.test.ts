import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Duplex, duplexPair } from 'node:stream';
import { expect, onTestFinished, test } from 'vitest';
import { makeWheel } from '../../../test/support/distributions.ts';
import { openGateway } from '../../../test/support/gateway.ts';
import { IndexServer } from '../../../test/support/index-server.ts';

const demo = makeWheel('demo', '1.0');
const large = makeWheel('demo', '2.0', { padding: 6 * 2 ** 20 });

async function setUp(limits: NonNullable<Parameters<typeof openGateway>[1]>['limits'] = {}) {
  const index = await IndexServer.start();
  onTestFinished(() => index[Symbol.asyncDispose]());
  for (const wheel of [demo, large]) index.add(wheel);
  const gateway = await openGateway([index.url], { limits });
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return { index, gateway };
}

/** Everything that comes back for some bytes, until the gateway closes. */
async function exchange(stream: Duplex, ...sent: (string | Buffer)[]): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', () => {});
  // A pair of streams closes when both sides have ended.
  stream.on('end', () => stream.end());
  const closed = once(stream, 'close').catch(() => {});
  for (const bytes of sent) stream.write(bytes);
  await closed;
  return Buffer.concat(chunks).toString('latin1');
}

function dial(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  return socket;
}

const CLOSE = 'Host: x\r\nConnection: close\r\n\r\n';

test.each([
  ['/', 404],
  ['/simple', 404],
  ['/simple/', 404],
  ['/simple/../../etc/passwd', 404],
  ['/simple/%2e%2e/', 404],
  ['/simple/a%2fb/', 404],
  ['/simple/a%00b/', 404],
  ['/simple/%zz/', 400],
  ['/simple/demo/extra/', 404],
  ['/simple/demo//', 404],
  ['//simple/demo/', 404],
  [`/simple/${'x'.repeat(129)}/`, 404],
  [`/${'x'.repeat(2000)}`, 400],
  ['/files/demo/x/y', 404],
  [`/files/demo/${'a'.repeat(64)}/..%2f..%2fetc%2fpasswd`, 404],
  [`/files/demo/${'a'.repeat(64)}/demo-1.0.tar.gz`, 404],
  [`/files/../../${'a'.repeat(64)}/x`, 404],
  ['http://169.254.169.254/latest/meta-data/', 400],
  ['*', 400],
])('GET %s is answered %i and asks the index nothing but a page', async (target, status) => {
  const { index, gateway } = await setUp();
  const answer = await exchange(dial(gateway.port), `GET ${target} HTTP/1.1\r\n${CLOSE}`);
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(index.requests.filter((request) => request !== 'GET /simple/demo/')).toEqual([]);
});

test.each([
  ['another method', 'POST /simple/demo/ HTTP/1.1\r\nContent-Length: 0\r\n', 405],
  ['a method of our own', 'PROPFIND / HTTP/1.1\r\n', 405],
  ['a body', 'GET /simple/demo/ HTTP/1.1\r\nContent-Length: 5\r\n', 400],
  ['a chunked body', 'GET /simple/demo/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n', 400],
  ['both lengths', 'GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n', 400],
  ['two lengths', 'GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n', 400],
  ['a folded header', 'GET / HTTP/1.1\r\nA: b\r\n c\r\n: d\r\n', 400],
  ['huge headers', `GET / HTTP/1.1\r\nA: ${'b'.repeat(20_000)}\r\n`, 431],
  ['no HTTP', '\x16\x03\x01\x02\x00\x01\x00', 400],
])('%s is refused and ends the connection', async (_, head, status) => {
  const { gateway } = await setUp();
  const answer = await exchange(
    dial(gateway.port),
    `${head}Host: x\r\n\r\nGET /simple/demo/ HTTP/1.1\r\nHost: x\r\n\r\n`,
  );
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(answer.match(/HTTP\/1.1 /g)).toHaveLength(1);
});

test('a header that never ends is cut off', async () => {
  const { gateway } = await setUp({ headersMs: 100, clientIdleMs: 10_000 });
  const socket = dial(gateway.port);
  const drip = setInterval(() => socket.writable && socket.write('x'), 20);
  onTestFinished(() => clearInterval(drip));
  expect(await exchange(socket, 'GET / HTTP/1.1\r\nX: ')).toMatch(/^(HTTP\/1.1 408 |$)/);
});

test('a connection that says nothing, or is half closed, is ended', async () => {
  const { gateway } = await setUp({ clientIdleMs: 100, headersMs: 10_000 });
  const [silent, half] = [dial(gateway.port), dial(gateway.port)];
  half.end();
  await Promise.all([exchange(silent), exchange(half)]);
  await expect.poll(() => gateway.gateway.stats().connections).toBe(0);
});

test('a client that takes no bytes is let go, and the download with it', async () => {
  const { gateway } = await setUp({ clientIdleMs: 100 });
  const link = await gateway.link('demo', large.filename);
  const [near, far] = duplexPair();
  gateway.gateway.connect(far, { owner: 'o', session: 's' });
  near.write(`GET ${link} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(far, 'close');
  await expect.poll(() => gateway.cached('tmp')).toEqual([]);
});

test('a download that nobody waits for any more is given up', async () => {
  const { index, gateway } = await setUp();
  const link = await gateway.link('demo', large.filename);
  index.faults.set('/files/', { kind: 'stall' });
  const socket = dial(gateway.port);
  socket.write(`GET ${link} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(socket, 'data');
  expect(await gateway.cached('tmp')).toHaveLength(1);
  socket.destroy();
  await expect.poll(() => gateway.cached('tmp')).toEqual([]);
});

test('a Duplex that is no socket is served as one is, request after request', async () => {
  const { gateway } = await setUp();
  const link = await gateway.link('demo', demo.filename);
  const [near, far] = duplexPair();
  gateway.gateway.connect(far, { owner: 'o', session: 's' });
  const answer = await exchange(
    near,
    `GET /simple/demo/ HTTP/1.1\r\nHost: x\r\n\r\n`,
    `GET ${link} HTTP/1.1\r\n${CLOSE}`,
  );
  expect(answer.match(/HTTP\/1.1 200 OK/g)).toHaveLength(2);
  expect(answer.endsWith(demo.content.toString('latin1'))).toBe(true);
});

test('a flood of pipelined requests ends the connection', async () => {
  const { gateway } = await setUp();
  const answer = await exchange(dial(gateway.port), `GET /simple/demo/ HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(5000));
  expect((answer.match(/HTTP\/1.1 /g) ?? []).length).toBeLessThan(100);
  await expect.poll(() => gateway.gateway.stats().connections).toBe(0);
});

test('a session has so many connections and no more', async () => {
  const { gateway } = await setUp({ connectionsPerClient: 3 });
  const open = Array.from({ length: 3 }, () => dial(gateway.port));
  await expect.poll(() => gateway.gateway.stats().connections).toBe(3);
  expect(await exchange(dial(gateway.port), `GET / HTTP/1.1\r\n${CLOSE}`)).toBe('');
  const [near, far] = duplexPair();
  gateway.gateway.connect(far, { owner: 'other', session: 's' });
  expect(await exchange(near, `GET / HTTP/1.1\r\n${CLOSE}`)).toContain('404');
  for (const socket of open) socket.destroy();
  await expect.poll(() => gateway.gateway.stats().connections).toBe(0);
  expect((await gateway.get('/simple/demo/')).status).toBe(200);
});

test('a session that asks too often is told to slow down', async () => {
  const { gateway } = await setUp({ requestBurst: 3, requestsPerSecond: 0.01 });
  const statuses = [];
  for (let i = 0; i < 4; i += 1) statuses.push((await gateway.get('/simple/demo/')).status);
  expect(statuses).toEqual([200, 200, 200, 429]);
});

test("streams that break, at any time, are nobody else's trouble", async () => {
  const { gateway } = await setUp();
  const link = await gateway.link('demo', large.filename);
  for (const sent of ['', 'GET ', `GET ${link} HTTP/1.1\r\nHost: x\r\n\r\n`]) {
    const [near, far] = duplexPair();
    gateway.gateway.connect(far, { owner: 'o', session: 's' });
    near.on('error', () => {});
    near.write(sent);
    await new Promise(setImmediate);
    far.destroy(new Error('the tunnel broke'));
  }
  expect((await gateway.get(link)).body.equals(large.content)).toBe(true);
});

test('disposal ends connections and downloads, and takes no new ones', async () => {
  const { index, gateway } = await setUp();
  const link = await gateway.link('demo', large.filename);
  index.faults.set('/files/', { kind: 'stall' });
  const socket = dial(gateway.port);
  const answer = exchange(socket, `GET ${link} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(socket, 'data');
  await gateway.gateway[Symbol.asyncDispose]();
  expect(await gateway.cached('tmp')).toEqual([]);
  await answer;
  const [near, far] = duplexPair();
  gateway.gateway.connect(far, { owner: 'o', session: 's' });
  expect(far.destroyed).toBe(true);
  near.destroy();
});
