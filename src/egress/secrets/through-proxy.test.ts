import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificate } from '../../../test/support/certificate.ts';
import { lyingResolver, showing, TestProxy, talk } from '../../../test/support/web-proxy.ts';
import { createLog } from '../../log.ts';
import { readBindings } from '../../secrets/binding.ts';
import { setSecret } from '../../secrets/changes.ts';
import { keyPath } from '../../secrets/file.ts';
import { Secrets } from '../../secrets/secrets.ts';
import { SecretInjector } from './secret-injector.ts';

const PATIENCE = { timeout: 30_000 };
const canary = () => `canary-${randomBytes(12).toString('hex')}`;
const { resolve } = lyingResolver({ 'api.example': [['127.0.0.1']], 'wrong.example': [['127.0.0.1']] });

let folder: string;
let server: Server;
let port: number;
let proxy: TestProxy;
let place: { stateDir: string };
let handle: (request: IncomingMessage, response: ServerResponse) => void;
const log: string[] = [];
/** What the host was sent as Authorization. */
const got: (string | undefined)[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-through-'));
  const { cert, key } = makeCertificate(['DNS:api.example']);
  writeFileSync(join(folder, 'ca.pem'), cert);
  server = createServer({ cert, key }, (incoming, response) => {
    got.push(incoming.headers.authorization);
    handle(incoming, response);
  });
  server.on('upgrade', (incoming: IncomingMessage, socket: Duplex) => {
    const said = Buffer.from(`you sent ${incoming.headers.authorization}`);
    const extensions = incoming.headers['sec-websocket-extensions'] ?? 'none';
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Extensions: ${extensions}\r\n\r\n`,
    );
    if (incoming.url === '/masked') socket.write(Buffer.from(`\x81\x86\0\0\0\0hidden`, 'latin1'));
    else socket.write(Buffer.concat([Buffer.from([0x81, said.length]), said]));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});

afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  rmSync(folder, { recursive: true });
});

beforeEach(async () => {
  got.length = 0;
  log.length = 0;
  handle = (incoming, response) => response.end(`you sent ${incoming.headers.authorization}`);
  place = { stateDir: mkdtempSync(join(folder, 'state-')) };
  const injector = new SecretInjector(
    new Secrets(place),
    createLog('debug', (line) => log.push(line)),
  );
  const patterns = [`api.example:${port}`, `wrong.example:${port}`];
  proxy = await TestProxy.open({ patterns, resolve, injector, hosts: { proxy: {}, caFile: join(folder, 'ca.pem') } });
});

afterEach(() => proxy[Symbol.asyncDispose]());

function bind(value: string, owner?: string, host = 'api.example'): void {
  const bindings = readBindings({ hosts: [`${host}:${port}`], headers: [], queries: [], users: [] });
  setSecret(place, { name: 'TOKEN', ...(owner === undefined ? {} : { owner }) }, value, bindings);
}

interface Asked {
  readonly host?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
}

/** What code gets: all of an answer as one text. */
async function ask(token: string, { host = 'api.example', path = '/', headers = {} }: Asked = {}): Promise<string> {
  const authority = `${host}:${port}`;
  const basic = `Basic ${Buffer.from(`glovebox:${token}`).toString('base64')}`;
  const outgoing = request({
    ...{ host: '127.0.0.1', port: proxy.port, path: `http://${authority}${path}`, agent: false },
    headers: { host: authority, 'proxy-authorization': basic, ...headers },
  });
  outgoing.end();
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of answer) pieces.push(piece as Buffer);
  const head = `${answer.statusCode} ${answer.statusMessage}\n${answer.rawHeaders.join('\n')}\n`;
  return head + JSON.stringify(answer.trailers) + Buffer.concat(pieces).toString('latin1');
}

describe('a request of code by plain HTTP', () => {
  it('goes out over TLS with the secret, of which nothing comes back, however the host repeats it', async () => {
    const value = canary();
    bind(value);
    using grant = proxy.grant();
    const echoes: Record<string, (said: string, response: ServerResponse) => void> = {
      body: (said, response) => response.end(said),
      pieces: (said, response) => {
        for (const letter of said) response.write(letter);
        response.end();
      },
      compressed: (said, response) => response.setHeader('Content-Encoding', 'gzip').end(gzipSync(said)),
      'compressed, which is said to be of this hop': (said, response) => {
        response.writeHead(200, { 'Content-Encoding': 'gzip', Connection: 'close, content-encoding' });
        response.end(gzipSync(said));
      },
      'compressed for the transfer': (said, response) => {
        response.removeHeader('Transfer-Encoding');
        const body = gzipSync(said);
        const chunk = Buffer.concat([
          Buffer.from(`${body.length.toString(16)}\r\n`),
          body,
          Buffer.from('\r\n0\r\n\r\n'),
        ]);
        response.socket?.end(
          Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'), chunk]),
        );
      },
      header: (said, response) => response.setHeader('X-You-Sent', said).end(),
      status: (said, response) => response.writeHead(401, `No such token: ${said}`).end(),
      redirect: (said, response) => response.writeHead(302, { Location: `http://evil.example/?t=${said}` }).end(),
      cookie: (said, response) => response.setHeader('Set-Cookie', `t=${Buffer.from(said).toString('base64')}`).end(),
      trailer: (said, response) => {
        response.setHeader('Trailer', 'X-Said').write('x');
        response.addTrailers({ 'X-Said': said });
        response.end();
      },
      hints: (said, response) =>
        response.writeEarlyHints({ link: `</${said}>; rel=preload; as=style`, 'x-said': said }, () =>
          response.end('ok'),
        ),
      digest: (said, response) =>
        response.setHeader('Digest', `sha-256=${Buffer.from(said).toString('hex')}`).end(said),
    };
    for (const [name, echo] of Object.entries(echoes)) {
      handle = (incoming, response) => echo(`${incoming.headers.authorization}`, response);
      const answer = await ask(grant.token, { headers: { authorization: 'Bearer of-the-code' } });
      expect(got.at(-1), name).toBe(`Bearer ${value}`);
      if (name.startsWith('compressed')) expect(answer, name).toContain('Bearer [secret TOKEN]');
      expect(answer, name).not.toContain(value.slice(0, 12));
      expect(answer, name).not.toContain(Buffer.from(value).toString('base64').slice(4, 20));
      expect(answer, name).not.toContain(Buffer.from(value).toString('hex').slice(0, 16));
    }
    const told = [
      ...log,
      ...proxy.lines,
      JSON.stringify([grant.hosts, grant.refusals, await proxy.registry.metrics()]),
    ].join('\n');
    expect(told).not.toContain('canary-');
    expect(told).toContain('TOKEN');
  });

  it('cannot have the echo in two halves, each too short to be found', async () => {
    const value = canary();
    bind(value);
    using grant = proxy.grant();
    handle = (incoming, response) => {
      const said = `${incoming.headers.authorization}`;
      const [, from, to] = /bytes=(\d+)-(\d+)/.exec(incoming.headers.range ?? '') ?? [];
      if (from === undefined) response.end(said);
      else response.writeHead(206).end(said.slice(Number(from), Number(to) + 1));
    };
    for (const range of ['bytes=0-15', 'bytes=16-50']) {
      const answer = await ask(grant.token, { headers: { range } });
      expect(answer).toContain('Bearer [secret TOKEN]');
      for (let at = 0; at + 6 <= value.length; at += 1) expect(answer).not.toContain(value.slice(at, at + 6));
    }
  });

  it('is refused where the secret cannot be read, and the host hears nothing', async () => {
    bind(canary());
    rmSync(keyPath(place));
    using grant = proxy.grant();
    const answer = await ask(grant.token);
    expect(answer).toMatch(/^403 The secrets of this server cannot be read\. Its log tells the operator why\.?\n/);
    expect(answer).toContain('X-Glovebox-Refused\nsecret');
    expect(got).toEqual([]);
    expect(grant.refusals).toMatchObject([{ host: 'api.example', rule: 'secret' }]);
  });

  it('does not send the secret to a host that cannot prove its name', async () => {
    bind(canary(), undefined, 'wrong.example');
    using grant = proxy.grant();
    expect(await ask(grant.token, { host: 'wrong.example' })).toMatch(/^502 /);
    expect(got).toEqual([]);
  });

  it('gets an answer whose encoding cannot be read refused', async () => {
    const value = canary();
    bind(value);
    using grant = proxy.grant();
    handle = (incoming, response) =>
      response.setHeader('Content-Encoding', 'rot13').end(`${incoming.headers.authorization}`);
    const answer = await ask(grant.token);
    expect(answer).toContain('X-Glovebox-Refused\nsecret');
    expect(answer).not.toContain(value);
  });
});

it('two owners with one host never share a secret', async () => {
  const values = { alice: canary(), bob: canary() };
  bind(values.alice, 'alice');
  bind(values.bob, 'bob');
  const [ofAlice, ofBob, ofCarol] = ['alice', 'bob', 'carol'].map((owner) => proxy.grant({ owner, sessionId: owner }));
  const as = async (owner: string, token = '') => {
    proxy.session = { owner, id: owner };
    return await ask(token);
  };
  for (let turn = 0; turn < 3; turn += 1) {
    await as('alice', ofAlice?.token);
    await as('bob', ofBob?.token);
  }
  expect(got).toEqual([0, 1, 2].flatMap(() => [`Bearer ${values.alice}`, `Bearer ${values.bob}`]));
  // Another owner's request is as the code made it; this host speaks no HTTP without TLS.
  expect(await as('carol', ofCarol?.token)).toMatch(/^(400|502) /);
  expect(got).toHaveLength(6);
  for (const grant of [ofAlice, ofBob, ofCarol]) grant?.[Symbol.dispose]();
});

it(
  'a secret that is replaced while requests run is one or the other in each of them, and in no answer',
  PATIENCE,
  async () => {
    const values = Array.from({ length: 20 }, canary);
    bind(values[0] ?? '');
    using grant = proxy.grant();
    let isOver = false;
    const answers: string[] = [];
    const client = async () => {
      while (!isOver) answers.push(await ask(grant.token));
    };
    const clients = Promise.all(Array.from({ length: 8 }, client));
    for (const value of values) {
      bind(value);
      const before = got.length;
      await expect.poll(() => got.slice(before).filter((sent) => sent === `Bearer ${value}`).length).toBeGreaterThan(2);
    }
    isOver = true;
    await clients;
    expect(got.every((sent) => values.includes(sent?.replace('Bearer ', '') ?? ''))).toBe(true);
    expect(new Set(got).size).toBe(values.length);
    expect(answers.every((answer) => answer.endsWith('you sent Bearer [secret TOKEN]'))).toBe(true);
  },
);

it('code is told which addresses get a secret, of those that it may reach', () => {
  bind(canary(), 'alice');
  bind(canary(), undefined, 'not-reached.example');
  expect(proxy.egress.access.addressesWithSecrets('alice')).toEqual([`http://api.example:${port}`]);
  expect(proxy.egress.access.addressesWithSecrets('bob')).toEqual([]);
  writeFileSync(join(place.stateDir, 'secrets.json'), '{');
  expect(proxy.egress.access.addressesWithSecrets('alice')).toEqual([]);
});

it('a WebSocket gets the secret in its request, and frames that repeat it are masked', async () => {
  const value = canary();
  bind(value);
  using grant = proxy.grant();
  const head = [
    `GET http://api.example:${port}/ HTTP/1.1`,
    `Host: api.example:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    'Sec-WebSocket-Extensions: permessage-deflate',
  ].join('\r\n');
  const said = await talk(proxy.port, `${head}\r\n${showing(grant.token)}\r\n`, (text) =>
    /you sent Bearer \S{31}/.test(text),
  );
  expect(said).toMatch(/^HTTP\/1\.1 101 /);
  expect(said).toContain('X-Extensions: none');
  expect(said).toContain(`you sent Bearer ${'*'.repeat(value.length)}`);
  expect(said).not.toContain('canary');
});

it('a WebSocket ends where the host sends a frame in which nothing can be found', async () => {
  bind(canary());
  using grant = proxy.grant();
  const head = [
    `GET http://api.example:${port}/masked HTTP/1.1`,
    `Host: api.example:${port}`,
    ...[
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: YWJjZGVmZ2hpamtsbW5vcA==',
    ],
  ].join('\r\n');
  const said = await talk(proxy.port, `${head}\r\n${showing(grant.token)}\r\n`);
  expect(said).toMatch(/^HTTP\/1\.1 101 /);
  expect(said).not.toContain('hidden');
});

it('a connection end to end stays without the secret', async () => {
  bind(canary());
  using grant = proxy.grant();
  const said = await talk(
    proxy.port,
    `CONNECT api.example:${port} HTTP/1.1\r\nHost: api.example:${port}\r\n${showing(grant.token)}\r\nGET / HTTP/1.0\r\n\r\n`,
  );
  expect(said).toMatch(/^HTTP\/1\.1 200 /);
  expect(got).toEqual([]);
});
