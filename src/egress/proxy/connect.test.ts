import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lyingResolver, showing, TestProxy, talk } from '../../../test/support/web-proxy.ts';

let server: Server;
let port: number;
let serve: (socket: Socket) => void;
const sockets = new Set<Socket>();

beforeEach(async () => {
  serve = (socket) => socket.pipe(socket);
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  server.close();
  await once(server, 'close');
});

/** Resolver in which every name is the loopback, unless it is named. */
function openWith(
  answers: Parameters<typeof lyingResolver>[0],
  more: Partial<Parameters<typeof TestProxy.open>[0]> = {},
) {
  const liar = lyingResolver(answers);
  return { liar, opening: TestProxy.open({ patterns: [`*.example:${port}`], resolve: liar.resolve, ...more }) };
}
const HERE = { 'api.example': [['127.0.0.1']] };

const connect = (proxy: TestProxy, token: string, target: string, rest = '', isEnough?: (got: string) => boolean) =>
  talk(proxy.port, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${showing(token)}\r\n${rest}`, isEnough);

describe('CONNECT', () => {
  it('passes bytes both ways, those that come with the request included, and counts them', async () => {
    const { opening } = openWith(HERE);
    await using proxy = await opening;
    using grant = proxy.grant();
    const got = await connect(proxy, grant.token, `api.example:${port}`, 'hello', (text) => text.endsWith('hello'));
    expect(got).toBe('HTTP/1.1 200 Connection established\r\n\r\nhello');
    expect(grant.hosts).toEqual([{ host: 'api.example', port, requests: 1, bytesIn: 5, bytesOut: 5 }]);
  });

  it('lets either side end its half first, and loses nothing', async () => {
    const { opening } = openWith(HERE);
    await using proxy = await opening;
    using grant = proxy.grant();
    const size = 3 * 2 ** 20;
    serve = (socket) => {
      let sum = 0;
      socket.on('data', (chunk) => {
        sum += chunk.length;
      });
      socket.on('end', () => socket.end(Buffer.alloc(size, String(sum % 10))));
    };
    const socket = new Socket({ allowHalfOpen: true });
    socket.connect(proxy.port, '127.0.0.1');
    socket.write(`CONNECT api.example:${port} HTTP/1.1\r\nHost: api.example:${port}\r\n${showing(grant.token)}\r\n`);
    await once(socket, 'data');
    socket.end(Buffer.alloc(size, 'y'));
    let received = 0;
    for await (const chunk of socket) received += (chunk as Buffer).length;
    expect(received).toBe(size);
    expect(grant.hosts).toMatchObject([{ bytesIn: size, bytesOut: size }]);
  });

  it('passes what is different in each place unchanged, both ways, however slowly it is taken', async () => {
    const { opening } = openWith(HERE);
    await using proxy = await opening;
    using grant = proxy.grant();
    const sent = randomBytes(5 * 2 ** 20);
    const socket = new Socket({ allowHalfOpen: true });
    socket.connect(proxy.port, '127.0.0.1');
    socket.write(`CONNECT api.example:${port} HTTP/1.1\r\nHost: api.example:${port}\r\n${showing(grant.token)}\r\n`);
    await once(socket, 'data');
    socket.end(sent);
    const got: Buffer[] = [];
    // Each turn of the loop leaves what has come meanwhile waiting.
    for await (const chunk of socket) {
      got.push(chunk as Buffer);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });

  it('says in the status line why it is refused, for that is what clients show', async () => {
    const { opening } = openWith(HERE);
    await using proxy = await opening;
    using grant = proxy.grant();
    expect(await connect(proxy, grant.token, 'evil.test:443')).toMatch(
      /^HTTP\/1\.1 403 The host evil\.test is not in GLOVEBOX_EGRESS\. The operator can add it there\.\r\nX-Glovebox-Refused: host\r\n/,
    );
    const refused = await connect(proxy, grant.token, `api.example:${port + 1}`);
    expect(refused).toContain(`403 Port ${port + 1} of api.example is not in GLOVEBOX_EGRESS (${port} is).`);
    expect(refused).toContain('X-Glovebox-Refused: port');
    const [status = ''] = (await connect(proxy, grant.token, `${'a'.repeat(60)}.${'b'.repeat(60)}.test:443`)).split(
      '\r\n',
    );
    expect(status.length).toBeLessThan(220);
  });

  it('needs a token, and is refused with one whose execution is over', async () => {
    const { opening } = openWith(HERE);
    await using proxy = await opening;
    const grant = proxy.grant();
    grant[Symbol.dispose]();
    expect(await connect(proxy, grant.token, `api.example:${port}`)).toMatch(/^HTTP\/1\.1 403 The execution is over/);
    expect(await talk(proxy.port, `CONNECT api.example:${port} HTTP/1.1\r\n\r\n`)).toMatch(/^HTTP\/1\.1 407 /);
    expect(sockets.size).toBe(0);
  });

  it('is cut when its execution ends', async () => {
    const { opening } = openWith(HERE);
    await using proxy = await opening;
    const grant = proxy.grant();
    const got = await connect(proxy, grant.token, `api.example:${port}`, 'ping', (text) => {
      if (text.endsWith('ping')) grant[Symbol.dispose]();
      return false;
    });
    expect(got).toContain('ping');
    const [socket] = sockets;
    if (socket && !socket.destroyed) await once(socket, 'close');
    expect(proxy.lines.join('')).toContain('method=CONNECT outcome=cut');
  });

  it('is cut when its bytes are used up', async () => {
    const { opening } = openWith(HERE, {
      bounds: { bytes: 1000, connections: 9, connectionsPerOwner: 9, idleMs: 60_000 },
    });
    await using proxy = await opening;
    using grant = proxy.grant();
    await connect(proxy, grant.token, `api.example:${port}`, 'x'.repeat(2000));
    expect(grant.refusals).toMatchObject([{ rule: 'limit', limit: { name: 'egress_mb' } }]);
  });

  it('is cut when nothing moves', async () => {
    const { opening } = openWith(HERE, { bounds: { bytes: 1000, connections: 9, connectionsPerOwner: 9, idleMs: 50 } });
    await using proxy = await opening;
    using grant = proxy.grant();
    serve = () => {};
    await connect(proxy, grant.token, `api.example:${port}`);
    expect(grant.refusals).toMatchObject([{ rule: 'limit', limit: { name: 'egress_idle_s' } }]);
  });
});

describe('a private address', () => {
  const NONE = { privateNetworks: [] };

  it.each([
    ['loopback', [['127.0.0.1']]],
    ['metadata', [['169.254.169.254']]],
    ['a private network', [['10.0.0.1']]],
    ['IPv6 loopback', [['::1']]],
    ['a mapped address', [['::ffff:127.0.0.1']]],
    ['NAT64', [['64:ff9b::7f00:1']]],
    ['a unique local address', [['fd00::1']]],
    ['any address', [['0.0.0.0']]],
  ])('is refused after resolution: %s', async (_what, addresses) => {
    const { opening } = openWith({ 'api.example': addresses }, NONE);
    await using proxy = await opening;
    using grant = proxy.grant();
    const got = await connect(proxy, grant.token, `api.example:${port}`);
    expect(got).toContain('X-Glovebox-Refused: address');
    expect(got).toContain('GLOVEBOX_EGRESS_PRIVATE');
    expect(got).not.toContain(addresses[0]?.[0] ?? '');
    expect(grant.refusals).toMatchObject([{ rule: 'address', host: 'api.example' }]);
    expect(sockets.size).toBe(0);
  });

  it.each([
    '127.0.0.1',
    '2130706433',
    '0x7f000001',
    '0177.1',
    '127.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    'localhost',
    '169.254.169.254',
    '[fd00:ec2::254]',
    'metadata.google.internal',
  ])('is refused as %s, whatever names the operator allows', async (host) => {
    const { opening, liar } = openWith({}, { ...NONE, patterns: ['*', '*:*'] });
    await using proxy = await opening;
    using grant = proxy.grant();
    expect(await connect(proxy, grant.token, `${host}:${port}`)).toMatch(/X-Glovebox-Refused: (?:host|address)/);
    expect(sockets.size).toBe(0);
    expect(liar.asked).toEqual([]);
  });

  it('is left out where a name has others', async () => {
    const { opening } = openWith({ 'api.example': [['10.0.0.1', '127.0.0.1']] }, { privateNetworks: ['127.0.0.0/8'] });
    await using proxy = await opening;
    using grant = proxy.grant();
    const got = await connect(proxy, grant.token, `api.example:${port}`, 'x', (text) => text.endsWith('x'));
    expect(got).toContain('200 Connection established');
  });

  it('is reached where the operator names it', async () => {
    const { opening, liar } = openWith({}, { ...NONE, patterns: [`127.0.0.1:${port}`] });
    await using proxy = await opening;
    using grant = proxy.grant();
    for (const host of ['127.0.0.1', '2130706433', '[::ffff:127.0.0.1]']) {
      const got = await connect(proxy, grant.token, `${host}:${port}`, 'x', (text) => text.endsWith('x'));
      expect(got).toContain('200 Connection established');
    }
    expect(liar.asked).toEqual([]);
  });
});
