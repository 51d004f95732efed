import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { lyingResolver, showing, TestProxy, talk } from '../../../test/support/web-proxy.ts';
import { createLog } from '../../log.ts';
import { readBindings } from '../../secrets/binding.ts';
import { setSecret } from '../../secrets/changes.ts';
import { Secrets } from '../../secrets/secrets.ts';
import { PrivateNetworks } from '../policy/private-networks.ts';
import { SecretInjector } from '../secrets/secret-injector.ts';
import { Connector } from './connector.ts';

/** A certificate for api.example, made for this run. */
const dir = mkdtempSync(join(tmpdir(), 'glovebox-web-'));
afterAll(() => rm(dir, { recursive: true }));
const [caFile, keyFile] = [join(dir, 'ca.pem'), join(dir, 'key.pem')];
const hasOpenssl =
  spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=test', '-addext', 'subjectAltName=DNS:api.example', '-keyout', keyFile, '-out', caFile],
  ]).status === 0;

const { resolve } = lyingResolver({ 'api.example': [['127.0.0.1']], 'other.example': [['127.0.0.1']] });

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

async function ask(proxy: TestProxy, token: string, url: string, headers: Record<string, string> = {}) {
  const { host } = new URL(url);
  const authorization = `Basic ${Buffer.from(`glovebox:${token}`).toString('base64')}`;
  const options = { host: '127.0.0.1', port: proxy.port, path: url, agent: false } as const;
  const outgoing = request({ ...options, headers: { host, 'proxy-authorization': authorization, ...headers } });
  outgoing.end();
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  let body = '';
  for await (const piece of answer) body += String(piece);
  return { status: answer.statusCode, text: answer.statusMessage, headers: answer.headers, body };
}

describe.skipIf(!hasOpenssl)('a plain request to a host that the operator names with https://', () => {
  it('goes out over TLS, and a redirect to the same host stays as the code asks', async () => {
    const port = await serveTls((incoming, response) => {
      response.setHeader(
        'Location',
        incoming.url === '/out' ? `https://other.example:${port}/x` : `https://api.example:${port}/next?a=1`,
      );
      response.end(`secure ${incoming.headers.host}`);
    });
    await using proxy = await TestProxy.open({
      patterns: [`https://api.example:${port}`],
      resolve,
      hosts: { caFile, proxy: {} },
    });
    using grant = proxy.grant();
    const answer = await ask(proxy, grant.token, `http://api.example:${port}/`);
    expect(answer).toMatchObject({ status: 200, body: `secure api.example:${port}` });
    expect(answer.headers.location).toBe(`http://api.example:${port}/next?a=1`);
    expect((await ask(proxy, grant.token, `http://api.example:${port}/out`)).headers.location).toBe(
      `https://other.example:${port}/x`,
    );
  });

  it('is not answered with a certificate that is wrong', async () => {
    const port = await serveTls((_, response) => response.end('secure'));
    const patterns = [`https://api.example:${port}`, `https://other.example:${port}`];
    await using strict = await TestProxy.open({ patterns, resolve });
    using stranger = strict.grant();
    const untrusted = await ask(strict, stranger.token, `http://api.example:${port}/`);
    expect(untrusted).toMatchObject({
      status: 502,
      text: 'There is no TLS with api.example (DEPTH_ZERO_SELF_SIGNED_CERT)',
    });
    await using proxy = await TestProxy.open({ patterns, resolve, hosts: { caFile, proxy: {} } });
    using grant = proxy.grant();
    const misnamed = await ask(proxy, grant.token, `http://other.example:${port}/`);
    expect(misnamed).toMatchObject({
      status: 502,
      text: 'There is no TLS with other.example (ERR_TLS_CERT_ALTNAME_INVALID)',
    });
  });
});

describe('secrets', () => {
  const VALUE = 'canary-3c1f0e6a';

  async function open(host: string, patterns: string[], more: Partial<Parameters<typeof TestProxy.open>[0]> = {}) {
    const place = { stateDir: mkdtempSync(join(dir, 'state-')) };
    setSecret(
      place,
      { name: 'TOKEN', owner: 'alice' },
      VALUE,
      readBindings({ hosts: [host], headers: [], queries: [], users: [] }),
    );
    const log = createLog('error');
    return await TestProxy.open({ patterns, resolve, injector: new SecretInjector(new Secrets(place), log), ...more });
  }

  it.skipIf(!hasOpenssl)(
    'are added outside over TLS, whatever the code sends, and no echo of them comes in',
    async () => {
      const port = await serveTls((incoming, response) => {
        response.setHeader('X-Echo', incoming.headers.authorization ?? '');
        response.writeHead(200, `you are ${VALUE}`);
        response.end(JSON.stringify({ sent: incoming.headers, url: incoming.url }));
      });
      await using proxy = await open(`api.example:${port}`, [`*.example:${port}`], { hosts: { caFile, proxy: {} } });
      using grant = proxy.grant();
      const answer = await ask(proxy, grant.token, `http://api.example:${port}/a`, { Authorization: 'Bearer forged' });
      expect(JSON.parse(answer.body)).toMatchObject({
        sent: { authorization: 'Bearer [secret TOKEN]', host: `api.example:${port}` },
      });
      expect(JSON.stringify(answer)).not.toContain(VALUE);
      expect(JSON.stringify(answer)).not.toContain('forged');
      expect(proxy.lines.join('')).not.toContain(VALUE);
      expect(proxy.lines.join('')).toContain('secrets=TOKEN');
      expect(await proxy.registry.metrics()).not.toContain(VALUE);
    },
  );

  it('of one owner are not added for another', async () => {
    const port = await serve((incoming, response) => response.end(String(incoming.headers.authorization)));
    await using proxy = await open(`http://api.example:${port}`, [`*.example:${port}`]);
    using alice = proxy.grant();
    expect((await ask(proxy, alice.token, `http://api.example:${port}/`)).body).toBe('Bearer [secret TOKEN]');
    expect((await ask(proxy, alice.token, `http://other.example:${port}/`)).body).toBe('undefined');
    proxy.session = { owner: 'bob', id: 'ses_1' };
    using bob = proxy.grant({ owner: 'bob' });
    expect((await ask(proxy, bob.token, `http://api.example:${port}/`)).body).toBe('undefined');
  });

  it('need the host to be allowed, too', async () => {
    const port = await serve((_, response) => response.end('x'));
    await using proxy = await open(`http://api.example:${port}`, [`other.example:${port}`]);
    using grant = proxy.grant();
    expect(await ask(proxy, grant.token, `http://api.example:${port}/`)).toMatchObject({ status: 403 });
  });
});

describe('a WebSocket', () => {
  /** Answers the handshake as RFC 6455 has it, and sends back what comes. */
  async function serveEcho(seen: IncomingMessage[]): Promise<number> {
    const server = createServer((_, response) => response.writeHead(426).end('upgrade'));
    server.on('upgrade', (incoming, socket) => {
      seen.push(incoming);
      const key = `${incoming.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
      const accept = createHash('sha1').update(key).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    return await listen(server);
  }

  const handshake = (token: string, host: string) =>
    `GET http://${host}/chat HTTP/1.1\r\nHost: ${host}\r\n${showing(token)}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`;

  it('passes, and what is sent with it', async () => {
    const seen: IncomingMessage[] = [];
    const port = await serveEcho(seen);
    await using proxy = await TestProxy.open({ patterns: [`api.example:${port}`], resolve });
    using grant = proxy.grant();
    const got = await talk(proxy.port, `${handshake(grant.token, `api.example:${port}`)}frame`, (text) =>
      text.endsWith('frame'),
    );
    expect(got).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
    expect(got).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    expect(seen[0]?.url).toBe('/chat');
    expect(seen[0]?.headers).not.toHaveProperty('proxy-authorization');
    expect(grant.hosts).toMatchObject([{ host: 'api.example', requests: 1, bytesIn: 5 }]);
  });

  it('that the host does not want gets its answer', async () => {
    const port = await serve((_, response) => response.writeHead(404, { 'X-A': 'b' }).end('none'));
    await using proxy = await TestProxy.open({ patterns: [`api.example:${port}`], resolve });
    using grant = proxy.grant();
    const got = await talk(proxy.port, handshake(grant.token, `api.example:${port}`));
    expect(got).toMatch(/^HTTP\/1\.1 404 Not Found\r\n/);
    expect(got).toContain('none');
  });

  it('to what is not allowed is refused', async () => {
    await using proxy = await TestProxy.open({ patterns: ['api.example:1'], resolve });
    using grant = proxy.grant();
    expect(await talk(proxy.port, handshake(grant.token, 'evil.example'))).toContain('403 The host evil.example');
  });

  it('in place of which another protocol is asked for is a plain request', async () => {
    const port = await serve((incoming, response) => response.end(`plain ${incoming.headers.upgrade}`));
    await using proxy = await TestProxy.open({ patterns: [`api.example:${port}`], resolve });
    using grant = proxy.grant();
    const text = handshake(grant.token, `api.example:${port}`).replace('websocket', 'h2c');
    expect(await talk(proxy.port, text)).toContain('plain undefined');
  });

  it('gets the secret of its host, and no echo of it', async () => {
    const seen: IncomingMessage[] = [];
    const port = await serveEcho(seen);
    const place = { stateDir: mkdtempSync(join(dir, 'state-')) };
    const hosts = [`http://api.example:${port}`];
    setSecret(
      place,
      { name: 'TOKEN' },
      'canary-of-frames',
      readBindings({ hosts, headers: [], queries: [], users: [] }),
    );
    const injector = new SecretInjector(new Secrets(place), createLog('error'));
    await using proxy = await TestProxy.open({ patterns: [`api.example:${port}`], resolve, injector });
    using grant = proxy.grant();
    const sent = 'begin canary-of-frames end';
    const frame = Buffer.concat([Buffer.from([0x81, sent.length]), Buffer.from(sent)]);
    const head = Buffer.from(handshake(grant.token, `api.example:${port}`));
    const got = await talk(proxy.port, Buffer.concat([head, frame]), (text) => text.includes(' end'));
    expect(seen[0]?.headers.authorization).toBe('Bearer canary-of-frames');
    expect(got).toContain('begin ');
    expect(got).not.toContain('canary-of-frames');
  });
});

describe('the proxy of the server itself', () => {
  /** A proxy as companies have it: it asks for credentials, and resolves names itself. */
  async function serveProxy(asked: string[], toPort: () => number): Promise<number> {
    const isKnown = (incoming: IncomingMessage) =>
      incoming.headers['proxy-authorization'] === `Basic ${Buffer.from('me:pw').toString('base64')}`;
    const server = createServer((incoming, response: ServerResponse) => {
      asked.push(`${incoming.method} ${incoming.url}`);
      if (!isKnown(incoming))
        return void response.writeHead(407, 'internal proxy 10.0.0.1').end('secret of the network');
      const { 'proxy-authorization': _own, ...headers } = incoming.headers;
      const outgoing = request(
        { port: toPort(), path: URL.parse(incoming.url ?? '')?.pathname ?? '/', headers },
        (answer) => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        },
      );
      incoming.pipe(outgoing);
    });
    server.on('connect', (incoming, socket, head) => {
      asked.push(`${incoming.method} ${incoming.url}`);
      if (!isKnown(incoming)) return void socket.end('HTTP/1.1 407 internal proxy 10.0.0.1\r\n\r\n');
      const host = connect(toPort(), '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        host.write(head);
        host.pipe(socket).pipe(host);
      });
      for (const side of [host, socket]) side.on('error', () => {});
    });
    return await listen(server);
  }

  it('gets plain requests whole and connections by CONNECT, for names that are not known here', async () => {
    const asked: string[] = [];
    const port = await serve((incoming, response) =>
      response.end(`hello ${incoming.headers.host} ${incoming.headers['proxy-authorization']}`),
    );
    const own = await serveProxy(asked, () => port);
    const proxyUrl = `http://me:pw@127.0.0.1:${own}`;
    await using proxy = await TestProxy.open({
      ...{ patterns: ['*.inside'], resolve, hosts: { proxy: { http_proxy: proxyUrl, https_proxy: proxyUrl } } },
    });
    using grant = proxy.grant();
    expect((await ask(proxy, grant.token, 'http://api.inside/x')).body).toBe('hello api.inside undefined');
    const tunnel = `CONNECT api.inside:443 HTTP/1.1\r\n${showing(grant.token)}\r\nGET / HTTP/1.1\r\nHost: deep\r\nConnection: close\r\n\r\n`;
    expect(await talk(proxy.port, tunnel)).toContain('hello deep');
    expect(asked).toEqual(['GET http://api.inside/x', 'CONNECT api.inside:443']);
  });

  it('is not asked for private names and addresses, and what it says of itself is not told', async () => {
    const asked: string[] = [];
    const own = await serveProxy(asked, () => 1);
    const liar = lyingResolver({ 'rebound.inside': [['8.8.8.8', '10.0.0.1']] });
    const proxyUrl = `http://127.0.0.1:${own}`;
    await using proxy = await TestProxy.open({
      ...{
        patterns: ['*.inside', '*.internal', '*.localhost', '10.0.0.0:1'],
        resolve: liar.resolve,
        privateNetworks: [],
      },
      hosts: { proxy: { http_proxy: proxyUrl, https_proxy: proxyUrl } },
    });
    using grant = proxy.grant();
    for (const host of ['rebound.inside', 'metadata.google.internal', 'x.localhost']) {
      expect(await ask(proxy, grant.token, `http://${host}/`)).toMatchObject({
        status: 403,
        headers: { 'x-glovebox-refused': 'address' },
      });
      expect(await talk(proxy.port, `CONNECT ${host}:443 HTTP/1.1\r\n${showing(grant.token)}\r\n`)).toContain(
        'Refused: address',
      );
    }
    expect(asked).toEqual([]);
    const plain = await ask(proxy, grant.token, 'http://api.inside/');
    const tunnel = await talk(proxy.port, `CONNECT api.inside:443 HTTP/1.1\r\n${showing(grant.token)}\r\n`);
    expect(plain.status).toBe(502);
    expect(tunnel).toContain('502 The proxy of the server does not connect to api.inside (status 407)');
    expect(JSON.stringify(plain) + tunnel).not.toMatch(/10\.0\.0\.1|secret of/);
  });
});

describe('a name', () => {
  const destination = { owner: 'alice', host: 'api.example', isTls: false, isNamedAddress: false };

  it('is resolved once for a connection, and checked again when it is resolved anew', async () => {
    const port = await serve((_, response) => response.end());
    const liar = lyingResolver({ 'api.example': [['127.0.0.1'], ['127.0.0.2']] });
    const networks = new PrivateNetworks(['127.0.0.1'], () => new Set());
    const connector = new Connector({ hosts: { proxy: {} }, networks, resolve: liar.resolve });
    const { signal } = new AbortController();
    const first = await connector.open({ ...destination, port }, signal);
    expect(first.remoteAddress).toBe('127.0.0.1');
    first.destroy();
    expect(liar.asked).toEqual(['api.example']);
    const now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now + 60_000);
    onTestFinished(() => clock.mockRestore());
    await expect(connector.open({ ...destination, port }, signal)).rejects.toMatchObject({
      refusal: { rule: 'address' },
    });
    expect(liar.asked).toEqual(['api.example', 'api.example']);
  });

  it('does not keep the names of another owner waiting, however many there are', async () => {
    const never: string[] = [];
    const slow = lyingResolver({ 'api.example': [['192.0.2.1']] });
    const connector = new Connector({
      hosts: { proxy: {} },
      networks: new PrivateNetworks([], () => new Set()),
      resolve: (name, options, callback) => {
        if (name.endsWith('.slow')) return void never.push(name);
        slow.resolve(name, options, callback);
      },
    });
    const gone = new AbortController();
    const ends: string[] = [];
    const hostile = Array.from({ length: 300 }, (_, n) =>
      connector
        .open({ ...destination, owner: 'mallory', host: `${n}.slow`, port: 80 }, gone.signal)
        .catch((error: Error) => void ends.push(error.message)),
    );
    const signal = new AbortController();
    const opening = connector.open({ ...destination, port: 80 }, signal.signal).catch(() => {});
    await vi.waitFor(() => expect(slow.asked).toEqual(['api.example']));
    await vi.waitFor(() => expect(ends).toHaveLength(44));
    expect(ends[0]).toMatch(/^The name \d+\.slow cannot be resolved now$/);
    expect(never).toHaveLength(1);
    gone.abort(new Error('gone'));
    signal.abort();
    await Promise.all([opening, ...hostile]);
  });
});
