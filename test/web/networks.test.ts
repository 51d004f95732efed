import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callTool, type Execution, isSecondTry, runCommand, runPython } from '../support/rest-client.ts';
import type { Server } from '../support/server.ts';
import { WebLab } from '../support/web-lab/lab.ts';
import type { Answer, Zone } from '../support/web-lab/zone.ts';

const MINUTES = 240_000;
const isRoot = process.getuid?.() === 0;
if (!isRoot && process.env['CI']) throw new Error('These tests make networks of their own: run them as root.');

const PUBLIC = { v4: ['203.0.113.10'] };

/** Names that lead to no public host, and how. */
const LIES: Zone = {
  'private.lab': [{ v4: ['10.66.0.10'] }],
  'metadata.lab': [{ v4: ['169.254.169.254'] }],
  'loopback.lab': [{ v4: ['127.0.0.1'] }],
  'zero.lab': [{ v4: ['0.0.0.0'] }],
  'loopback6.lab': [{ v6: ['::1'] }],
  'local6.lab': [{ v6: ['fd66::10'] }],
  'mapped.lab': [{ v6: ['::ffff:a42:a'] }],
  'nat64.lab': [{ v6: ['64:ff9b::a42:a'] }],
  'own.lab': [{ v4: ['203.0.113.1'] }],
  'own6.lab': [{ v6: ['2001:db8::1'] }],
  'both.lab': [{ v4: ['10.66.0.10'], v6: ['fd66::10'] }],
  'chain.lab': [{ alias: 'middle.lab' }],
  'middle.lab': [{ alias: 'end.corp' }],
  'end.corp': [{ v4: ['10.66.0.10'] }],
  '10.66.0.10.lab': [{ v4: ['10.66.0.10'] }],
};
const ZONE: Zone = {
  ...LIES,
  'web.lab': [{ v4: ['203.0.113.10'], v6: ['2001:db8::10'] }],
  'six.lab': [{ v6: ['2001:db8::10'] }],
  'alias.lab': [{ alias: 'web.lab' }],
  'mixed.lab': [{ v4: ['10.66.0.10', '203.0.113.10'], v6: ['fd66::10', '::1'] }],
  ...changing('rebind.lab', { v4: ['10.66.0.10'] }),
  ...changing('rebind6.lab', { v6: ['::ffff:a42:a'] }),
  ...changing('late.lab', { alias: 'end.corp' }),
};

/** A name that is public the first time that it is asked for; and another such name, for a second try of a test. */
function changing(name: string, later: Answer): Zone {
  return { [name]: [PUBLIC, later], [`again.${name}`]: [PUBLIC, later] };
}

describe.skipIf(!isRoot)('in networks of their own, with a resolver that lies', () => {
  let lab: WebLab;
  let server: Server;

  beforeAll(async () => {
    lab = await WebLab.open(ZONE, ['DNS:web.lab', 'DNS:rebind.lab']);
    server = await lab.startServer({
      env: { GLOVEBOX_IMAGE: 'data', GLOVEBOX_EGRESS: '*', GLOVEBOX_EGRESS_IDLE_S: '20' },
    });
    await callTool(server, 'write_file', { path: 'ca.pem', content: lab.certificate });
  }, MINUTES);

  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await lab?.[Symbol.asyncDispose]();
  });

  const run = async (code: string, target = server): Promise<Execution> =>
    await runPython(target, code, { env: { SSL_CERT_FILE: '/workspace/ca.pem' } });
  const fetching = (url: string) => `import urllib.request\nprint(urllib.request.urlopen("${url}").read().decode())`;
  /** Connections to what code must not reach. */
  const reached = async () => [...(await lab.connectionsTo('private')), ...(await lab.connectionsTo('server'))];

  describe('real servers are reached', () => {
    it.each(['http://web.lab', 'https://web.lab', 'http://six.lab', 'http://alias.lab'])('at %s', async (origin) => {
      const { stdout, web: used } = await run(fetching(`${origin}/hello`));
      expect(stdout).toBe('hello\n');
      expect(used).toMatchObject({ hosts: [{ host: new URL(origin).hostname, requests: 1 }], refused: [] });
    });

    it.each(['http', 'https'])('by git over %s', async (scheme) => {
      const clone = `rm -rf copy && git clone -q ${scheme}://web.lab/repo.git copy && cat copy/file.txt`;
      const result = await runCommand(server, clone, { env: { GIT_SSL_CAINFO: '/workspace/ca.pem' } });
      expect([result.stdout, result.stderr]).toEqual(['content\n', '']);
    });

    it.each(['ws', 'wss'])('by a WebSocket, %s', async (scheme) => {
      expect((await run(echoOver(scheme, 'web.lab'))).stdout).toBe('101 an echo\n');
    });
  });

  describe('a name that leads to no public host is refused, and nothing connects', () => {
    it.each(Object.keys(LIES).filter((name) => name.endsWith('.lab') && name !== 'middle.lab'))('%s', async (name) => {
      for (const url of [`http://${name}/hello`, `https://${name}/hello`]) {
        const result = await run(fetching(url));
        expect(result.error?.value, url).toContain('403');
        expect(result.web?.refused, url).toMatchObject([{ host: name, rule: 'address' }]);
      }
      expect(await reached()).toEqual([]);
    });

    it.each([
      ['in decimal', '172097546'],
      ['in octal', '0012.0102.0.012'],
      ['in hexadecimal', '0xa42000a'],
      ['with fewer parts', '10.66.10'],
      ['in IPv6', '[::ffff:10.66.0.10]'],
      ['of loopback, in octal', '0177.0.0.1'],
    ])('nor is an address that is a name only by how it is written, %s', async (_how, host) => {
      const opener = `import os, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": os.environ["HTTP_PROXY"]}))
print(opener.open("http://${host}/hello").read())`;
      const result = await run(opener);
      expect(result.error?.value).toContain('403');
      expect(result.web?.refused).toMatchObject([{ rule: 'host' }]);
      expect(await reached()).toEqual([]);
    });

    it.each([
      ['http://private.lab/hello', 'private.lab', 'address'],
      ['http://chain.lab/hello', 'chain.lab', 'address'],
      ['http://172097546/hello', '10.66.0.10', 'host'],
      ['http://169.254.169.254/latest/', '169.254.169.254', 'host'],
    ])('nor what a public host redirects to: %s', async (to, host, rule) => {
      const result = await run(fetching(`http://web.lab/moved/${encodeURIComponent(to)}`));
      expect(result.error?.value).toContain('403');
      expect(result.web?.hosts[0]).toMatchObject({ host: 'web.lab', requests: 1 });
      expect(result.web?.refused).toMatchObject([{ host, rule }]);
      expect(await reached()).toEqual([]);
    });

    it('nor by a WebSocket, git or a connection to another port', async () => {
      expect((await run(echoOver('ws', 'private.lab'))).stdout).toBe('403\n');
      expect((await run(echoOver('wss', 'chain.lab'))).web?.refused).toMatchObject([{ rule: 'address' }]);
      const git = await runCommand(server, 'git clone -q http://private.lab/repo.git private');
      expect(git).toMatchObject({ status: 'error', web: { refused: [{ host: 'private.lab', rule: 'address' }] } });
      expect(await reached()).toEqual([]);
    });
  });

  it('of public and private addresses of one name, only a public one is connected to', async () => {
    for (let n = 0; n < 5; n += 1) expect((await run(fetching('http://mixed.lab/hello'))).stdout).toBe('hello\n');
    expect(await reached()).toEqual([]);
  });

  it.for(['rebind.lab', 'rebind6.lab', 'late.lab'])(
    'a name that was public the first time is refused once it is private: %s',
    { timeout: MINUTES },
    async (name, { task }) => {
      const url = `http://${isSecondTry(task) ? 'again.' : ''}${name}/hello`;
      expect((await run(fetching(url))).stdout).toBe('hello\n');
      const outcome = async () => {
        const { stdout, web: used } = await run(fetching(url));
        return stdout.trim() || used?.refused[0]?.rule;
      };
      await expect.poll(outcome, { timeout: 30_000, interval: 500 }).toBe('address');
      expect(await reached()).toEqual([]);
    },
  );

  it.each([
    ['that there is none', 'nowhere.lab', /^HTTP Error 502: There is no host nowhere\.lab/],
    ['nothing', 'silent.lab', /^HTTP Error 50[24]: The name silent\.lab cannot be resolved now/],
  ])('a name of which the resolver says %s is an error that says so', async (_what, name, message) => {
    expect((await run(fetching(`http://${name}/`))).error?.value).toMatch(message);
  });

  it('private addresses that the operator names are reached, and no others', async () => {
    const env = { GLOVEBOX_IMAGE: 'data', GLOVEBOX_EGRESS: '*.lab', GLOVEBOX_EGRESS_PRIVATE: '10.66.0.10/32' };
    await using naming = await lab.startServer({ env });
    const before = (await reached()).length;
    expect((await run(fetching('http://chain.lab/hello'), naming)).stdout).toBe('hello\n');
    expect((await reached()).slice(before)).toEqual(['10.66.0.10']);
    for (const name of ['local6.lab', 'metadata.lab', 'loopback6.lab', 'own.lab'])
      expect((await run(fetching(`http://${name}/`), naming)).web?.refused).toMatchObject([{ rule: 'address' }]);
    expect((await reached()).slice(before)).toEqual(['10.66.0.10']);
  });
});

/** Code that opens a WebSocket through the proxy, and prints the status and what is echoed. */
function echoOver(scheme: string, host: string): string {
  return `import base64, os, socket, ssl, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
shown = "Proxy-Authorization: Basic " + base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
connection = socket.create_connection((proxy.hostname, proxy.port))
def ask(*lines):
    connection.sendall("\\r\\n".join([*lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\\r\\n\\r\\n") and (byte := connection.recv(1)):
        answer += byte
    return answer.decode("latin1").split(" ")[1]
upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + "A" * 22 + "=="]
if "${scheme}" == "wss":
    assert (status := ask("CONNECT ${host}:443 HTTP/1.1", "Host: ${host}:443", shown)) == "200", status
    connection = ssl.create_default_context().wrap_socket(connection, server_hostname="${host}")
    status = ask("GET /chat HTTP/1.1", "Host: ${host}", *upgrade)
else:
    status = ask("GET http://${host}/chat HTTP/1.1", "Host: ${host}", shown, *upgrade)
if status != "101":
    raise SystemExit(print(status))
text = b"an echo"
connection.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
frame = b""
while len(frame) < 2 + len(text):
    frame += connection.recv(64)
print(status, frame[2:].decode())`;
}
