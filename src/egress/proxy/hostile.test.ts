import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lyingResolver, showing, TestProxy, talk } from '../../../test/support/web-proxy.ts';

/** A host that keeps what it gets as it comes, and answers each connection with the same bytes. */
let server: Server;
let port: number;
let got: string[];
let reply: (socket: Socket) => void;

beforeEach(async () => {
  got = [];
  reply = (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  server = createServer((socket) => {
    const index = got.push('') - 1;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const before = got[index] ?? '';
      got[index] = before + chunk.toString('latin1');
      if (!before.includes('\r\n\r\n') && got[index].includes('\r\n\r\n')) reply(socket);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  server.close();
  await once(server, 'close');
});

const { resolve } = lyingResolver({ 'api.example': [['127.0.0.1']], 'evil.example': [['127.0.0.1']] });
const open = (more: Partial<Parameters<typeof TestProxy.open>[0]> = {}) =>
  TestProxy.open({ patterns: [`api.example:${port}`], resolve, ...more });

/** Sends a head in which HOST stands for the host and port, and a line with the token is added. */
async function send(proxy: TestProxy, token: string, text: string): Promise<string> {
  const whole = text.replaceAll('HOST', `api.example:${port}`).replace('\r\n', `\r\n${showing(token)}`);
  return await talk(proxy.port, whole);
}

describe('a request that could be read in two ways is not passed on:', () => {
  it.each([
    ['two Host headers', 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n'],
    ['two equal Host headers', 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nhost: HOST\r\n\r\n'],
    ['another Host', 'GET http://HOST/ HTTP/1.1\r\nHost: evil.example\r\n\r\n'],
    ['another port', 'GET http://HOST/ HTTP/1.1\r\nHost: api.example:1\r\n\r\n'],
    ['no Host', 'GET http://HOST/ HTTP/1.1\r\n\r\n'],
    ['a Host with a user', 'GET http://HOST/ HTTP/1.1\r\nHost: api.example@evil.example\r\n\r\n'],
    [
      'length and chunks',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['two lengths', 'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef'],
    [
      'two equal lengths',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde',
    ],
    ['a length with a sign', 'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: +5\r\n\r\nabcde'],
    ['a list of lengths', 'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5, 5\r\n\r\nabcde'],
    [
      'two encodings',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n',
    ],
    [
      'an encoding around chunks',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    ],
    ['an unknown encoding', 'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    [
      'a space before the colon',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n',
    ],
    [
      'a folded header',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 0, 1\r\n\r\n',
    ],
    ['bare line feeds', 'GET http://HOST/ HTTP/1.1\nHost: HOST\n\n'],
    ['a NUL in a value', 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX: a\0b\r\n\r\n'],
    ['chunks in HTTP/1.0', 'POST http://HOST/ HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a user in the URL', 'GET http://user@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['another host before an @', 'GET http://evil.example@HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['a backslash in the host', 'GET http://api.example\\@evil.example/ HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['https in the URL', 'GET https://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['no host in the URL', 'GET / HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['a file', 'GET file:///etc/passwd HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['TRACE', 'TRACE http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['HTTP/2 in plain', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['CONNECT with a body', 'CONNECT HOST HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\n\r\nabc'],
    ['CONNECT without a port', 'CONNECT api.example HTTP/1.1\r\nHost: api.example\r\n\r\n'],
    ['CONNECT with a URL', 'CONNECT http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n'],
    ['CONNECT with two Hosts', 'CONNECT HOST HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n'],
    ['CONNECT with another Host', 'CONNECT HOST HTTP/1.1\r\nHost: evil.example\r\n\r\n'],
    [
      'an upgrade with a body',
      'POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc',
    ],
  ])('%s', async (_what, text) => {
    await using proxy = await open({ patterns: [`*.example:${port}`, '*.example'] });
    using grant = proxy.grant();
    expect(await send(proxy, grant.token, text)).toMatch(/^HTTP\/1\.1 (?:400|405) /);
    expect(got).toEqual([]);
  });

  it('a head without end is answered once it is too large', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const text = `GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`;
    expect(await send(proxy, grant.token, text)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('one that follows in the body of another goes to no host but as that body', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const inner = 'GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n';
    const text = `POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`;
    expect(await send(proxy, grant.token, text)).toContain('200 OK');
    expect(got).toHaveLength(1);
    expect(got[0]).toContain(`Content-Length: ${inner.length}`);
    expect(got[0]).not.toContain('Proxy-Authorization');
  });

  it('one that follows another on the connection is looked at for itself', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const next = `GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n${showing(grant.token)}\r\n`;
    const answer = await send(proxy, grant.token, `GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n${next}`);
    expect(answer).toContain('200 OK');
    expect(answer).toContain('403 The host evil.example is not in GLOVEBOX_EGRESS');
    expect(got).toHaveLength(1);
  });

  it('one without a token after one with a token is not passed on', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    const answer = await send(
      proxy,
      grant.token,
      'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\nGET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n',
    );
    expect(answer).toContain('407 ');
    expect(got).toHaveLength(1);
  });
});

describe('code that', () => {
  it('asks for a connection while another request has no answer yet loses both', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    reply = () => {};
    const text = `GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\nCONNECT HOST HTTP/1.1\r\n${showing(grant.token)}\r\n`;
    expect(await send(proxy, grant.token, text)).toBe('');
    expect(got.length).toBeLessThanOrEqual(1);
  });

  it('sends more than it may is told so in the answer', async () => {
    await using proxy = await open({
      bounds: { bytes: 2 ** 20, connections: 64, connectionsPerOwner: 256, idleMs: 60_000 },
    });
    using grant = proxy.grant();
    reply = () => {};
    const size = 2 ** 21;
    const head = `POST http://HOST/ HTTP/1.1\r\nHost: HOST\r\nContent-Length: ${size}\r\n\r\n`;
    const answer = await send(proxy, grant.token, head + 'x'.repeat(size));
    expect(answer).toMatch(/^HTTP\/1\.1 403 This execution has moved 1 MiB one way/);
    expect(grant.refusals).toMatchObject([{ rule: 'limit', limit: { name: 'egress_mb' } }]);
    expect(proxy.lines.join('')).toContain('method=POST outcome=cut');
  });

  it('ends its connection ends what was being opened for it', async () => {
    const asked = Promise.withResolvers<void>();
    await using proxy = await open({ resolve: () => asked.resolve() });
    using grant = proxy.grant();
    const gone = send(proxy, grant.token, 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\n\r\n');
    await asked.promise;
    grant[Symbol.dispose]();
    expect(await gone).toBe('');
    expect(proxy.lines.join('')).toContain('outcome=cut');
  });

  it.each(['\x01', '\x7f', '\x80'])(
    'sends the character %j in a header or path fills no log with errors',
    async (character) => {
      await using proxy = await open();
      using grant = proxy.grant();
      await send(
        proxy,
        grant.token,
        `GET http://HOST/${character} HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n`,
      );
      await send(
        proxy,
        grant.token,
        `GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nX: a${character}b\r\n\r\n`,
      );
      expect(proxy.lines.filter((line) => line.includes('error '))).toEqual([]);
    },
  );

  it('opens more connections than one session may is not served on those', async () => {
    await using proxy = await open();
    const sockets = Array.from({ length: 128 }, () => openSocket(proxy.port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const [last] = await Promise.all([talk(proxy.port, 'GET / HTTP/1.1\r\n\r\n')]);
    expect(last).toBe('');
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map((socket) => (socket.closed ? undefined : once(socket, 'close'))));
    using grant = proxy.grant();
    expect(
      await send(proxy, grant.token, 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n'),
    ).toContain('200 OK');
  });
});

describe('an answer of a hostile host', () => {
  const GET = 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n';

  it.each([
    ['that is no HTTP', 'hello\r\n\r\n'],
    ['with length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['with two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef'],
    ['with a head too large', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`],
    ['with a bare line feed in a header', 'HTTP/1.1 200 OK\r\nX: a\nSet-Cookie: b\r\n\r\n'],
    ['that changes the protocol unasked', 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
  ])('%s is not passed on', async (_what, text) => {
    await using proxy = await open();
    using grant = proxy.grant();
    reply = (socket) => socket.end(text);
    expect(await send(proxy, grant.token, GET)).toMatch(/^HTTP\/1\.1 502 /);
  });

  it('that looks like a refusal of the proxy is told from one', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    reply = (socket) => socket.end('HTTP/1.1 403 No\r\nX-Glovebox-Refused: host\r\nContent-Length: 0\r\n\r\n');
    expect(await send(proxy, grant.token, GET)).not.toContain('Refused');
    expect(grant.refusals).toEqual([]);
  });

  it('that ends too soon is not taken for whole', async () => {
    await using proxy = await open();
    using grant = proxy.grant();
    reply = (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
    const closed = await send(proxy, grant.token, GET);
    expect(closed).toContain('Content-Length: 10');
    expect(proxy.lines.join('')).not.toContain('outcome=ok');
  });

  it('that is larger than an execution may receive is cut, and told of', async () => {
    await using proxy = await open({
      bounds: { bytes: 2 ** 20, connections: 64, connectionsPerOwner: 256, idleMs: 60_000 },
    });
    using grant = proxy.grant();
    const piece = Buffer.alloc(65_536, 'x');
    reply = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const more = () => {
        while (!socket.destroyed && socket.write(piece));
      };
      socket.on('drain', more);
      more();
    };
    const received = await send(proxy, grant.token, GET);
    expect(received.length).toBeLessThan(2 ** 20 + 65_536 * 2);
    expect(grant.refusals).toMatchObject([
      { host: 'api.example', rule: 'limit', limit: { name: 'egress_mb', value: 1 } },
    ]);
    expect(await send(proxy, grant.token, GET)).toContain('403 This execution has moved 1 MiB one way');
    expect(grant.recorded.bytesIn).toBe(2 ** 20);
    using again = proxy.egress.access.reopen(grant.recorded, {
      owner: 'alice',
      sessionId: 'ses_1',
      executionId: 'exe_1',
    });
    expect(again.recorded.bytesIn).toBe(2 ** 20);
  });

  it('that never comes is given up, and told of', async () => {
    await using proxy = await open({
      bounds: { bytes: 2 ** 20, connections: 64, connectionsPerOwner: 256, idleMs: 50 },
    });
    using grant = proxy.grant();
    reply = () => {};
    expect(await send(proxy, grant.token, GET)).toMatch(/^HTTP\/1\.1 504 api\.example sent nothing for too long/);
    expect(grant.refusals).toMatchObject([{ rule: 'limit', limit: { name: 'egress_idle_s', value: 0.05 } }]);
  });

  it('that comes byte by byte, and so is never silent, is cut when its execution ends', async () => {
    await using proxy = await open();
    const grant = proxy.grant();
    const [several, cut] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    reply = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      let bytes = 0;
      const timer = setInterval(() => {
        socket.write('1\r\nx\r\n');
        bytes += 1;
        if (bytes === 3) several.resolve();
      }, 20);
      socket.on('close', () => {
        clearInterval(timer);
        cut.resolve();
      });
    };
    const answer = send(proxy, grant.token, GET);
    await several.promise;
    grant[Symbol.dispose]();
    expect(await answer).toMatch(/^HTTP\/1\.1 200 /);
    await cut.promise;
  });

  it('that stops in the middle is cut', async () => {
    await using proxy = await open({
      bounds: { bytes: 2 ** 20, connections: 64, connectionsPerOwner: 256, idleMs: 1000 },
    });
    using grant = proxy.grant();
    reply = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
    expect(await send(proxy, grant.token, GET)).toContain('abc');
    expect(grant.refusals).toMatchObject([{ rule: 'limit', limit: { name: 'egress_idle_s' } }]);
  });
});

describe('connections', () => {
  it('beyond those of an execution or of an owner are refused', async () => {
    await using proxy = await open({
      bounds: { bytes: 2 ** 20, connections: 1, connectionsPerOwner: 2, idleMs: 60_000 },
    });
    const waiting: Socket[] = [];
    const reached = new Map<number, () => void>();
    reply = (socket) => {
      waiting.push(socket);
      reached.get(waiting.length)?.();
    };
    const arrived = (count: number) => new Promise<void>((done) => reached.set(count, done));
    using first = proxy.grant();
    using second = proxy.grant({ executionId: 'exe_2' });
    using third = proxy.grant({ executionId: 'exe_3' });
    const GET = 'GET http://HOST/ HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n';
    const one = arrived(1);
    const running = [send(proxy, first.token, GET)];
    await one;
    expect(await send(proxy, first.token, GET)).toContain(
      '403 1 connections to the web are open, as many as this execution',
    );
    const two = arrived(2);
    running.push(send(proxy, second.token, GET));
    await two;
    expect(await send(proxy, third.token, GET)).toContain('as many as this owner may have');
    expect(third.refusals).toMatchObject([
      { rule: 'limit', limit: { name: 'egress_connections_per_owner', value: 2 } },
    ]);
    for (const socket of waiting) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    await Promise.all(running);
    reply = (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    expect(await send(proxy, third.token, GET)).toContain('200 OK');
  });

  it('that say nothing are closed after a while', async () => {
    await using proxy = await open({ bounds: { bytes: 2 ** 20, connections: 1, connectionsPerOwner: 2, idleMs: 50 } });
    expect(await talk(proxy.port, 'GET http')).toBe('');
  });
});
