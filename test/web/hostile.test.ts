import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Execution, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

const MEBIBYTE = 2 ** 20;

let web: WebServer;
let server: Server;

beforeAll(async () => {
  web = await startWebServer(({ url = '' }, response) => {
    const [, kind, where = ''] = /^\/(endless|moved)\/?(.*)$/.exec(url) ?? [];
    if (kind === 'moved') response.writeHead(302, { Location: decodeURIComponent(where) }).end();
    if (kind !== 'endless') return kind !== undefined;
    const piece = Buffer.alloc(MEBIBYTE);
    const more = () => {
      while (response.write(piece));
    };
    response.on('drain', more);
    more();
    return true;
  });
  const hosts = [`${WEB_HOST}:${web.http}`, `${WEB_HOST}:${web.https}`];
  server = await startServer({
    env: {
      GLOVEBOX_EGRESS: [...hosts, `https://${WEB_HOST}:${web.https}`, '*.example.com'].join(),
      GLOVEBOX_EGRESS_PRIVATE: `${WEB_HOST}/32`,
      GLOVEBOX_EGRESS_MB: '8',
    },
  });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
});

async function run(code: string, args: Record<string, unknown> = {}): Promise<Execution> {
  return await runPython(server, code, args);
}

/** Code with a function `ask`, which sends bytes to the proxy and returns all that comes back. */
const ASK = `import base64, os, socket, urllib.parse
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
host = "${WEB_HOST}"
def ask(text):
    with socket.create_connection((proxy.hostname, proxy.port)) as connection:
        connection.settimeout(10)
        connection.sendall(text.replace("TOKEN", f"Proxy-Authorization: Basic {token}").replace("\\n", "\\r\\n").encode())
        answer = b""
        while b"\\r\\n\\r\\n" not in answer and (data := connection.recv(65536)):
            answer += data
        return answer.decode("latin1")
def status(text):
    return ask(text).split(" ")[1:2]
`;

it.each([
  ['a number in decimal', 'http://2852039166/latest/meta-data/'],
  ['hexadecimal', 'http://0xa9.254.43518/'],
  ['an IPv4 address in IPv6', 'http://[::ffff:169.254.169.254]/'],
  ['its own host in IPv6', 'http://[::1]:8000/'],
  ['another address of loopback', 'http://127.0.0.4:8000/'],
])('code does not reach what is not named by %s', async (_how, url) => {
  const code = `import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": __import__("os").environ["HTTP_PROXY"]}))
opener.open("${url}")`;
  const result = await run(code);
  expect(result).toMatchObject({ status: 'error', error: { value: expect.stringContaining('403') } });
  expect(result.web).toMatchObject({ hosts: [], refused: [{ rule: 'host' }] });
});

it('a redirect to a host that is not named is refused as any request', async () => {
  const to = encodeURIComponent('http://169.254.169.254/latest/');
  const code = `import urllib.request\nurllib.request.urlopen("http://${WEB_HOST}:${web.http}/moved/${to}")`;
  const { web: used } = await run(code);
  expect(used?.hosts).toMatchObject([{ host: WEB_HOST, requests: 1 }]);
  expect(used?.refused).toMatchObject([{ host: '169.254.169.254', rule: 'host' }]);
});

it('CONNECT to a port that is not named is refused, with the ports that are', async () => {
  const { stdout, web: used } = await run(
    `${ASK}print(ask(f"CONNECT {host}:22 HTTP/1.1\\nHost: {host}:22\\nTOKEN\\n\\n"))`,
  );
  expect(stdout).toMatch(/^HTTP\/1\.1 403 Port 22 of /);
  expect(used?.refused).toMatchObject([{ host: WEB_HOST, port: 22, rule: 'port' }]);
});

it('requests that two readers could take for different ones get no further', async () => {
  const before = web.requests.length;
  const at = `http://${WEB_HOST}:${web.http}`;
  const head = (lines: string) => `${lines}\\nTOKEN\\n\\n`;
  const smuggled = `GET ${at}/smuggled HTTP/1.1\\nHost: ${WEB_HOST}:${web.http}\\n\\n`;
  const host = `Host: ${WEB_HOST}:${web.http}`;
  const requests = [
    head(`GET ${at}/hello HTTP/1.1\\n${host}\\n${host}`),
    head(`GET ${at}/hello HTTP/1.1\\nHost: other.example.com`),
    `${head(`POST ${at}/echo HTTP/1.1\\n${host}\\nContent-Length: 4\\nTransfer-Encoding: chunked`)}0\\n\\n${smuggled}`,
    `${head(`POST ${at}/echo HTTP/1.1\\n${host}\\nContent-Length: 0\\nContent-Length: 5`)}${smuggled}`,
    `${head(`POST ${at}/echo HTTP/1.1\\n${host}\\nTransfer-Encoding: chunked, identity`)}0\\n\\n`,
    head(`GET /hello HTTP/1.1\\n${host}`),
  ];
  const { stdout } = await run(
    `${ASK}for text in ${JSON.stringify(requests)}:\n    print(*status(text.replace("\\\\n", "\\n")))`,
  );
  expect(stdout.trim().split('\n')).toEqual(requests.map(() => '400'));
  expect(web.requests.slice(before)).toEqual([]);
});

it('a request without a token, or with a wrong one, is told so', async () => {
  const target = `GET http://${WEB_HOST}:${web.http}/hello HTTP/1.1\\nHost: ${WEB_HOST}:${web.http}\\n`;
  const code = `${ASK}print(status("${target}\\n"), status("${target}Proxy-Authorization: Basic eDp5\\n\\n"))`;
  expect((await run(code)).stdout).toBe("['407'] ['403']\n");
});

it.each([
  ['an endless answer', `urllib.request.urlopen("URL/endless")`],
  ['an endless upload', `urllib.request.Request("URL/echo", data=iter(lambda: b"x" * 65536, None), method="POST")`],
])('%s ends at the bytes that an execution may move, which the result names', async (_what, expression) => {
  const source = expression.replace('URL', `http://${WEB_HOST}:${web.http}`);
  const code = `import urllib.request
request = ${source}
taken = 0
answer = request if hasattr(request, "read") else urllib.request.urlopen(request)
while data := answer.read(65536):
    taken += len(data)
    if taken > 100 * 2**20: break
print(taken)
urllib.request.urlopen("http://${WEB_HOST}:${web.http}/hello")`;
  const result = await run(code);
  expect(result).toMatchObject({ status: 'error', limit: { name: 'egress_mb', value: 8 } });
  const [used] = result.web?.hosts ?? [];
  expect(Math.max(used?.bytes_in ?? 0, used?.bytes_out ?? 0)).toBeLessThan(10 * MEBIBYTE);
  expect(result.web?.refused.at(-1)).toMatchObject({ rule: 'limit' });
});

it('code that checks certificates refuses a wrong one, and so does the control plane where it makes the connection', async () => {
  const direct = await run(`import urllib.request\nurllib.request.urlopen("https://${WEB_HOST}:${web.https}/hello")`);
  expect(direct.error?.value).toContain('CERTIFICATE_VERIFY_FAILED');
  const ours = await run(`import urllib.request\nurllib.request.urlopen("http://${WEB_HOST}:${web.https}/hello")`);
  expect(ours.error).toMatchObject({
    name: 'HTTPError',
    value: expect.stringMatching(/^HTTP Error 502: .*SELF_SIGNED_CERT/),
  });
});

it('more connections than an execution may have are refused with a reason, and leave the package index reachable', async () => {
  const code = `${ASK}import contextlib
with contextlib.ExitStack() as held:
    first = []
    for _ in range(80):
        connection = held.enter_context(socket.create_connection((proxy.hostname, proxy.port)))
        connection.sendall(f"CONNECT {host}:${web.http} HTTP/1.1\\r\\nHost: {host}:${web.http}\\r\\nProxy-Authorization: Basic {token}\\r\\n\\r\\n".encode())
        first.append(connection.recv(12).decode())
    print(first.count("HTTP/1.1 200"), first.count("HTTP/1.1 403"))
    print(socket.create_connection(("127.0.0.1", 3141)).close())`;
  const { stdout, web: used } = await run(code);
  expect(stdout).toBe('64 16\nNone\n');
  expect(used?.refused).toMatchObject([{ rule: 'limit' }]);
});
