import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  connect,
  createServer as createNetServer,
  type LookupFunction,
  type Server as NetServer,
  type Socket,
} from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { DEFAULT_LIMITS } from './limits.ts';
import { Upstream, type UpstreamOptions } from './upstream.ts';

/** A certificate for localhost, 127.0.0.1 and files.example, made for this run. */
const dir = mkdtempSync(join(tmpdir(), 'glovebox-tls-'));
afterAll(() => rm(dir, { recursive: true }));
const [caFile, keyFile] = [join(dir, 'ca.pem'), join(dir, 'key.pem')];
const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:files.example';
const hasOpenssl =
  spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=test', '-addext', names, '-keyout', keyFile, '-out', caFile],
  ]).status === 0;

async function listen(server: Server | NetServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const serve = (answer: RequestListener) => listen(createServer(answer));
const serveTls = (answer: RequestListener) =>
  listen(createTlsServer({ key: readFileSync(keyFile), cert: readFileSync(caFile) }, answer));

function openUpstream(configured: string[], options: Partial<UpstreamOptions> = {}) {
  const upstream = new Upstream({
    configured: configured.map((url) => new URL(url)),
    proxy: {},
    limits: { ...DEFAULT_LIMITS, responseMs: 2000 },
    ...options,
  });
  onTestFinished(() => upstream.close());
  const get = async (url: string, unverified = true) => {
    const response = await upstream.request(new URL(url), { signal: AbortSignal.timeout(5000), unverified });
    return { status: response.status, body: await text(response.body) };
  };
  return { upstream, get };
}

test.skipIf(!hasOpenssl)('authorities of a PEM file are trusted, strangers are not', async () => {
  const port = await serveTls((_, response) => response.end('secret'));
  const url = `https://127.0.0.1:${port}/`;
  expect(await openUpstream([url], { caFile }).get(url)).toEqual({ status: 200, body: 'secret' });
  await expect(openUpstream([url]).get(url)).rejects.toMatchObject({ status: 502 });
  expect(() => openUpstream([url], { caFile: '/no/such/file' })).toThrow('cannot be read');
});

test.skipIf(!hasOpenssl)('https may lead to http only for what a hash proves', async () => {
  const plain = await serve((_, response) => response.end('plain'));
  const secure = await serveTls((_, response) =>
    response.writeHead(302, { location: `http://127.0.0.1:${plain}/` }).end(),
  );
  const urls = [`https://127.0.0.1:${secure}/`, `http://127.0.0.1:${plain}/`];
  const { get } = openUpstream(urls, { caFile });
  await expect(get(urls[0] ?? '', true)).rejects.toThrow('from https to http');
  expect((await get(urls[0] ?? '', false)).body).toBe('plain');
});

test('a name is judged by what it resolves to as the connection is made, each time', async () => {
  const port = await serve((_, response) => response.end('internal'));
  const answers = ['203.0.113.1', '127.0.0.1'];
  const resolve: LookupFunction = (_hostname, _options, callback) => {
    callback(null, [{ address: answers.length > 1 ? (answers.shift() ?? '') : '127.0.0.1', family: 4 }]);
  };
  const { get } = openUpstream(['http://index.example/'], { resolve, limits: { ...DEFAULT_LIMITS, responseMs: 100 } });
  // The first time the name is public, and nothing answers there; the second time it is this host.
  await expect(get(`http://files.example:${port}/`)).rejects.toMatchObject({
    status: expect.toSatisfy((status) => status >= 502),
  });
  await expect(get(`http://files.example:${port}/`)).rejects.toThrow('private or local address');
});

test('credentials stay with the host that they are for, whatever redirects say', async () => {
  const seen: (string | undefined)[] = [];
  const other = await serve((request, response) => {
    seen.push(request.headers.authorization);
    response.end('there');
  });
  const index = await serve((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(307, { location: `http://x:y@127.0.0.1:${other}/` }).end();
  });
  const { get } = openUpstream([`http://ann:secret@127.0.0.1:${index}/simple`, `http://127.0.0.1:${other}/`]);
  expect((await get(`http://127.0.0.1:${index}/simple/x/`)).body).toBe('there');
  expect(seen).toEqual([`Basic ${btoa('ann:secret')}`, undefined]);
});

test('a kept connection that the server closes just then is no failure', async () => {
  let requests = 0;
  const port = await serve((request, response) => {
    requests += 1;
    // The second request on a connection finds it closed.
    if (requests === 2) request.socket.resetAndDestroy();
    else response.end(`${requests}`);
  });
  const url = `http://127.0.0.1:${port}/`;
  const { get } = openUpstream([url]);
  expect((await get(url)).body).toBe('1');
  expect((await get(url)).body).toBe('3');
});

/** A forward proxy that knows where everything is: on this host. */
async function openProxy(target: () => number, isSecure = false) {
  const seen: string[] = [];
  const server = isSecure
    ? createTlsServer({ key: readFileSync(keyFile), cert: readFileSync(caFile) })
    : createServer();
  server.on('request', (request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
    response.end('through the proxy');
  });
  server.on('connect', (request, socket) => {
    seen.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`);
    if (request.url?.startsWith('refused')) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    const onward = connect(target(), '127.0.0.1');
    for (const [one, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      one.on('error', () => to.destroy());
      one.pipe(to);
    }
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
  });
  return { seen, port: await listen(server) };
}

test.skipIf(!hasOpenssl)('https goes through the proxy, which resolves the names', async () => {
  const secure = await serveTls((request, response) => response.end(`${request.headers.host}`));
  const proxy = await openProxy(() => secure);
  const { get } = openUpstream(['https://refused.example/'], {
    caFile,
    proxy: { HTTPS_PROXY: `http://u:p@127.0.0.1:${proxy.port}` },
  });
  for (let i = 0; i < 2; i += 1) expect((await get('https://files.example/x')).body).toBe('files.example');
  // One tunnel for both.
  expect(proxy.seen).toEqual([`CONNECT files.example:443 Basic ${btoa('u:p')}`]);
  await expect(get('https://refused.example/')).rejects.toMatchObject({ status: 502 });
  for (const url of ['https://169.254.169.254/', 'https://localhost/', 'https://[::1]/']) {
    await expect(get(url)).rejects.toThrow('private or local address');
  }
  expect(proxy.seen).toHaveLength(2);
});

test('http goes through the proxy, by its whole address and without credentials of the proxy in it', async () => {
  const proxy = await openProxy(() => 0);
  const { get } = openUpstream([], { proxy: { http_proxy: `http://u:p@127.0.0.1:${proxy.port}` } });
  expect((await get('http://files.example/x?y')).body).toBe('through the proxy');
  expect(proxy.seen).toEqual([`GET http://files.example/x?y Basic ${btoa('u:p')}`]);
  await expect(get('http://10.0.0.1/')).rejects.toThrow('private or local address');
});

test.skipIf(!hasOpenssl)('a proxy may be reached over TLS, and its credentials go no further', async () => {
  const seen: (string | undefined)[] = [];
  const secure = await serveTls((request, response) => {
    seen.push(request.headers['proxy-authorization']);
    response.end('there');
  });
  const proxy = await openProxy(() => secure, true);
  const proxies = { HTTPS_PROXY: `https://only-a-name@localhost:${proxy.port}` };
  const { get } = openUpstream(['https://files.example/'], { caFile, proxy: proxies });
  expect((await get('https://files.example/x')).body).toBe('there');
  expect(proxy.seen).toEqual([`CONNECT files.example:443 Basic ${btoa('only-a-name:')}`]);
  expect(seen).toEqual([undefined]);
  const plain = openUpstream([], { caFile, proxy: { http_proxy: `https://u:p@localhost:${proxy.port}` } });
  expect((await plain.get('http://files.example/x?y')).body).toBe('through the proxy');
  expect(proxy.seen[1]).toBe(`GET http://files.example/x?y Basic ${btoa('u:p')}`);
  const stranger = openUpstream(['https://files.example/'], { proxy: proxies });
  await expect(stranger.get('https://files.example/x')).rejects.toMatchObject({ status: 502 });
});

test.each(['https://files.example/', 'http://files.example/'])(
  'a proxy that says nothing when it is asked for %s is waited for as long as an index',
  async (url) => {
    const sockets: Socket[] = [];
    const port = await listen(createNetServer((socket) => sockets.push(socket)));
    const { get } = openUpstream([], {
      proxy: { HTTPS_PROXY: `http://127.0.0.1:${port}`, HTTP_PROXY: `http://127.0.0.1:${port}` },
      limits: { ...DEFAULT_LIMITS, responseMs: 50 },
    });
    await expect(get(url)).rejects.toMatchObject({ status: 504 });
    for (const socket of sockets) socket.destroy();
  },
);
