import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lyingResolver, showing, TestProxy, talk } from '../../../test/support/web-proxy.ts';

let server: Server;
let port: number;
let handle: (request: IncomingMessage, response: ServerResponse) => void;
const seen: IncomingMessage[] = [];

beforeEach(async () => {
  seen.length = 0;
  handle = (_request, response) => response.end('hello');
  server = createServer((incoming, response) => {
    seen.push(incoming);
    handle(incoming, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

const { resolve } = lyingResolver({ 'api.example': [['127.0.0.1']], 'other.example': [['127.0.0.1']] });
const open = (more: Partial<Parameters<typeof TestProxy.open>[0]> = {}) =>
  TestProxy.open({ patterns: [`api.example:${port}`], resolve, ...more });

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  readonly host?: string;
}

/** Asks through the proxy as HTTP clients do. */
async function ask(proxy: TestProxy, token: string, asked: Asked = {}) {
  const host = asked.host ?? `api.example:${port}`;
  const outgoing = request({
    host: '127.0.0.1',
    port: proxy.port,
    method: asked.method ?? 'GET',
    path: `http://${host}${asked.path ?? '/'}`,
    headers: {
      host,
      'proxy-authorization': `Basic ${Buffer.from(`glovebox:${token}`).toString('base64')}`,
      ...asked.headers,
    },
    agent: false,
  });
  outgoing.end(asked.body);
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece as Buffer);
  return {
    status: answer.statusCode,
    text: answer.statusMessage,
    headers: answer.headers,
    body: Buffer.concat(pieces),
  };
}

describe('a plain request', () => {
  it('goes to the host and back, with nothing of what is between code and proxy', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    handle = (_request, response) => {
      response.writeHead(201, 'Made', { 'x-own': 'yes', 'Keep-Alive': 'timeout=1', 'Proxy-Authenticate': 'Basic' });
      response.end('made');
    };
    const answer = await ask(proxy, grant.token, {
      path: '/a/../b?x=%20y',
      headers: {
        'X-Mine': '1',
        TE: 'trailers',
        'Proxy-Connection': 'keep-alive',
        Connection: 'X-Secret',
        'X-Secret': 's',
      },
    });
    expect(answer).toMatchObject({ status: 201, text: 'Made', headers: { 'x-own': 'yes' } });
    expect(answer.headers).not.toHaveProperty('proxy-authenticate');
    expect(answer.body.toString()).toBe('made');
    const [got] = seen;
    expect(got?.url).toBe('/a/../b?x=%20y');
    expect(got?.headers).toMatchObject({ host: `api.example:${port}`, 'x-mine': '1' });
    for (const name of ['proxy-authorization', 'proxy-connection', 'te', 'x-secret']) {
      expect(got?.headers).not.toHaveProperty(name);
    }
    expect(grant.hosts).toMatchObject([{ host: 'api.example', port, requests: 1 }]);
  });

  it('passes large bodies both ways unchanged, and counts them', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const body = randomBytes(5 * 2 ** 20);
    handle = (incoming, response) => {
      response.writeHead(200, { 'Content-Length': String(body.length) });
      incoming.pipe(response);
    };
    const answer = await ask(proxy, grant.token, {
      method: 'POST',
      body,
      headers: { 'content-length': String(body.length) },
    });
    const hash = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    expect(hash(answer.body)).toBe(hash(body));
    const [use] = grant.hosts;
    expect(use?.bytesIn).toBeGreaterThanOrEqual(body.length);
    expect(use?.bytesOut).toBeGreaterThanOrEqual(body.length);
    expect(use?.bytesOut).toBeLessThan(body.length + 10_000);
  });

  it('may send and get a body in chunks, and none at all', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    handle = (incoming, response) => incoming.pipe(response);
    const chunked = await ask(proxy, grant.token, {
      method: 'PUT',
      body: 'abc',
      headers: { 'transfer-encoding': 'chunked' },
    });
    expect(chunked.body.toString()).toBe('abc');
    expect((await ask(proxy, grant.token, { method: 'POST' })).body.toString()).toBe('');
    expect(seen[1]?.headers).toMatchObject({ 'content-length': '0' });
    expect((await ask(proxy, grant.token, { method: 'HEAD' })).status).toBe(200);
    handle = (_incoming, response) => response.writeHead(304).end();
    expect((await ask(proxy, grant.token)).status).toBe(304);
  });

  it('uses a connection to the host again, and opens another when the host has closed it', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const connections = new Set<unknown>();
    server.on('connection', (socket) => connections.add(socket));
    for (const _ of [1, 2, 3]) await ask(proxy, grant.token);
    expect(connections.size).toBe(1);
    const closed = [...server.listeners('connection')].length;
    expect(closed).toBeGreaterThan(0);
    server.closeAllConnections();
    expect((await ask(proxy, grant.token)).status).toBe(200);
    expect(connections.size).toBe(2);
  });

  it('is refused with the rule that refuses it, and what can be done', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const host = await ask(proxy, grant.token, { host: 'evil.example' });
    expect(host).toMatchObject({ status: 403, headers: { 'x-glovebox-refused': 'host' } });
    expect(host.text).toBe('The host evil.example is not in GLOVEBOX_EGRESS. The operator can add it there.');
    expect(host.body.toString()).toBe(`${host.text}\n`);
    const wrongPort = await ask(proxy, grant.token, { host: `api.example:${port + 1}` });
    expect(wrongPort).toMatchObject({ status: 403, headers: { 'x-glovebox-refused': 'port' } });
    expect(grant.refusals).toMatchObject([
      { host: 'evil.example', port: 80, rule: 'host', message: host.text },
      { host: 'api.example', port: port + 1, rule: 'port' },
    ]);
    expect(seen).toHaveLength(0);
    const metrics = await proxy.registry.metrics();
    expect(metrics).toContain('glovebox_web_requests_total{owner="alice",host_rule="none",outcome="refused_host"} 1');
    expect(metrics).not.toContain('evil');
  });

  it('is refused to what its session or call does not name', async () => {
    await using proxy = await open({ patterns: [`*.example:${port}`] });
    using bySession = proxy.grant({ session: ['other.example'] });
    expect((await ask(proxy, bySession.token)).text).toContain('is not in the "web" of this session');
    using byCall = proxy.grant({ patterns: ['other.example'] });
    expect((await ask(proxy, byCall.token)).text).toContain('is not in the "web" of this call');
    expect((await ask(proxy, byCall.token, { host: `other.example:${port}` })).status).toBe(200);
    expect(() => proxy.grant({ session: ['other.example'], patterns: ['api.example'] })).toThrow(
      'more than the session',
    );
    expect(() => proxy.grant({ patterns: ['evil.test'] })).toThrow(
      '"evil.test" in "web" is more than the operator allows',
    );
    expect(
      proxy.egress.access.open({ owner: 'alice', sessionId: 's', executionId: 'e', patterns: [] }),
    ).toBeUndefined();
  });

  it('is made with a token that lives, of the session that it comes from', async () => {
    await using proxy = await open();
    const grant = proxy.grant();
    expect((await ask(proxy, 'x'.repeat(43))).text).toContain('The execution is over');
    proxy.session = { owner: 'alice', id: 'ses_2' };
    expect(await ask(proxy, grant.token)).toMatchObject({ status: 403 });
    proxy.session = { owner: 'bob', id: 'ses_1' };
    expect(await ask(proxy, grant.token)).toMatchObject({ status: 403 });
    proxy.session = { owner: 'alice', id: 'ses_1' };
    expect(await ask(proxy, grant.token)).toMatchObject({ status: 200 });
    grant[Symbol.dispose]();
    expect(await ask(proxy, grant.token)).toMatchObject({ status: 403 });
    const none = await talk(
      proxy.port,
      `GET http://api.example:${port}/ HTTP/1.1\r\nHost: api.example:${port}\r\n\r\n`,
    );
    expect(none).toMatch(/^HTTP\/1\.1 407 /);
    expect(none).toContain('Proxy-Authenticate: Basic realm="glovebox"');
    expect(seen).toHaveLength(1);
  });

  it('ends with its execution, in the middle of an answer', async () => {
    await using proxy = await open();
    const grant = proxy.grant();
    handle = (_incoming, response) => response.write('begin');
    const got = talk(
      proxy.port,
      `GET http://api.example:${port}/ HTTP/1.1\r\nHost: api.example:${port}\r\n${showing(grant.token)}\r\n`,
      (text) => {
        if (text.includes('begin')) grant[Symbol.dispose]();
        return false;
      },
    );
    expect(await got).toContain('begin');
    expect(proxy.lines.join('')).toContain('outcome=cut');
  });

  it('does not take another token on the same connection', async () => {
    await using proxy = await open();
    using first = proxy.grant();
    using second = proxy.grant({ executionId: 'exe_2' });
    const one = (token: string) =>
      `GET http://api.example:${port}/ HTTP/1.1\r\nHost: api.example:${port}\r\n${showing(token)}\r\n`;
    const got = await talk(proxy.port, one(first.token) + one(second.token));
    expect(got).toContain('200 OK');
    expect(got).toContain('belongs to another token');
    expect(seen).toHaveLength(1);
  });

  it('says that a host cannot be reached, or ends without an answer', async () => {
    await using proxy = await open({ patterns: [`*.example:${port}`, '*.example:1'] });
    using grant = proxy.grant();
    expect(await ask(proxy, grant.token, { host: 'gone.example:1' })).toMatchObject({
      status: 502,
      text: 'There is no host gone.example',
    });
    expect((await ask(proxy, grant.token, { host: 'api.example:1' })).text).toContain('(ECONNREFUSED)');
    handle = (incoming) => incoming.socket.destroy();
    const ended = await ask(proxy, grant.token, { method: 'POST', body: 'x', headers: { 'content-length': '1' } });
    expect(ended).toMatchObject({ status: 502, text: 'api.example ended the connection without an answer' });
    expect(proxy.lines.filter((line) => line.includes('outcome=failed'))).toHaveLength(3);
  });

  it('does not pass on that a host asks for credentials of a proxy', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    handle = (_incoming, response) => response.writeHead(407, { 'Proxy-Authenticate': 'Basic realm="evil"' }).end();
    expect(await ask(proxy, grant.token)).toMatchObject({ status: 502 });
  });
});
