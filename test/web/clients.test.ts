import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callTool, type Execution } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

const MINUTES = 240_000;
const SESSION = 'clients';
/** Clients that the image lacks. */
const PACKAGES = ['httpx', 'aiohttp', 'websockets', 'websocket-client'];
/** A host that nobody has named. */
const REFUSED = '127.0.0.3';

let web: WebServer;
let server: Server;
/** Variables by which clients trust the certificate of the server. */
const TRUST = Object.fromEntries(['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE'].map((name) => [name, '/workspace/ca.pem']));

beforeAll(async () => {
  web = await startWebServer();
  const hosts = [web.http, web.https].map((port) => `${WEB_HOST}:${port}`);
  server = await startServer({
    env: { GLOVEBOX_IMAGE: 'data', GLOVEBOX_EGRESS: hosts.join(), GLOVEBOX_EGRESS_PRIVATE: '127.0.0.0/8' },
  });
  const installed = await callTool(server, 'install_dependencies', { packages: PACKAGES, session_id: SESSION });
  expect(installed).toMatchObject({ status: 'ok' });
  await callTool(server, 'write_file', { path: 'ca.pem', content: web.certificate, session_id: SESSION });
}, MINUTES);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
});

async function run(code: string, more: object = {}): Promise<Execution> {
  const args = { code: code, session_id: SESSION, env: TRUST, ...more };
  return (await callTool(server, 'execute_python', args)) as Execution;
}

/** Code that prints what it gets from a URL, by client. */
const CLIENTS: Readonly<Record<string, (url: string) => string>> = {
  requests: (url) => `import requests\nanswer = requests.get("${url}")\nanswer.raise_for_status()\nprint(answer.text)`,
  'requests.Session': (url) =>
    `import requests\nwith requests.Session() as own:\n    answer = own.get("${url}")\n    answer.raise_for_status()\n    print(answer.text)`,
  httpx: (url) => `import httpx\nprint(httpx.get("${url}").raise_for_status().text)`,
  'httpx.AsyncClient': (url) => `import asyncio, httpx
async def main():
    async with httpx.AsyncClient() as client:
        print((await client.get("${url}")).raise_for_status().text)
asyncio.run(main())`,
  aiohttp: (url) => `import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.get("${url}") as answer:
            print(await answer.text())
asyncio.run(main())`,
  urllib: (url) => `import urllib.request\nprint(urllib.request.urlopen("${url}").read().decode())`,
};
const NAMES = Object.keys(CLIENTS);
const codeOf = (client: string, url: string) => CLIENTS[client]?.(url) ?? '';

describe.each(['http', 'https'] as const)('over %s', (scheme) => {
  const at = (path: string) => `${scheme}://${WEB_HOST}:${web[scheme]}${path}`;

  it.each(NAMES)('%s finds the proxy by itself', async (client) => {
    const { stdout, stderr, web: used } = await run(codeOf(client, at('/hello')));
    expect([stdout, stderr]).toEqual(['hello\n', '']);
    expect(used).toMatchObject({ hosts: [{ host: WEB_HOST, port: web[scheme], requests: 1 }], refused: [] });
  });

  it.each(NAMES)('%s is refused a host that is not named, with its name and what to do', async (client) => {
    const { status, error, limit, web: used } = await run(codeOf(client, `${scheme}://${REFUSED}:81/`));
    expect(status).toBe('error');
    const message = `The host ${REFUSED} is not in GLOVEBOX_EGRESS. The operator can add it there.`;
    expect(error?.traceback).toContain(message.slice(0, 40));
    expect(limit).toMatchObject({ name: 'web', value: `${REFUSED}:81`, setting: message });
    expect(used?.refused).toEqual([{ host: REFUSED, port: 81, rule: 'host', message }]);
  });

  it("pandas' readers find it", async () => {
    const code = `import pandas as pd
print(pd.read_csv("${at('/table.csv')}").sum().tolist(), pd.read_json("${at('/table.json')}").to_dict("records"))`;
    expect((await run(code)).stdout).toBe("[4, 6] [{'a': 1, 'b': 2}]\n");
  });

  it('an upload of some megabytes arrives and comes back', async () => {
    const code = `import requests
sent = bytes(range(256)) * 20_000
print(requests.post("${at('/echo')}", data=sent).content == sent)`;
    expect((await run(code)).stdout).toBe('True\n');
  });
});

describe.each(['ws', 'wss'] as const)('over %s', (scheme) => {
  const at = (host = WEB_HOST) => `${scheme}://${host}:${scheme === 'ws' ? web.http : web.https}/`;
  const sockets: Readonly<Record<string, (url: string) => string>> = {
    websockets: (url) => `import asyncio, websockets
async def main():
    async with websockets.connect("${url}") as socket:
        await socket.send("hello")
        print(await socket.recv())
asyncio.run(main())`,
    'websockets.sync': (url) => `from websockets.sync.client import connect
with connect("${url}") as socket:
    socket.send("hello")
    print(socket.recv())`,
    'websocket-client': (url) => `import websocket
socket = websocket.create_connection("${url}")
socket.send("hello")
print(socket.recv())`,
    aiohttp: (url) => `import asyncio, aiohttp
async def main():
    async with aiohttp.ClientSession() as session, session.ws_connect("${url}") as socket:
        await socket.send_str("hello")
        print(await socket.receive_str())
asyncio.run(main())`,
  };

  it.each(Object.keys(sockets))('%s passes', async (client) => {
    const { stdout, stderr } = await run(sockets[client]?.(at()) ?? '');
    expect([stdout, stderr]).toEqual(['hello\n', '']);
  });

  it.each(Object.keys(sockets))('%s is refused a host that is not named', async (client) => {
    const { status, web: used } = await run(sockets[client]?.(at(REFUSED)) ?? '');
    expect(status).toBe('error');
    expect(used?.refused).toMatchObject([{ host: REFUSED, rule: 'host' }]);
  });
});

describe('in a context', () => {
  const at = () => `http://${WEB_HOST}:${web.http}/hello`;

  it.each(['requests', 'httpx', 'aiohttp', 'urllib'])('%s finds the proxy of each cell', async (client) => {
    const cell = { context: 'web', env: {} };
    for (let round = 0; round < 3; round += 1) expect((await run(codeOf(client, at()), cell)).stdout).toBe('hello\n');
  });

  it('clients that look at the variables with each request go on in later cells', async () => {
    const cell = { context: 'kept', env: {} };
    const first = `import requests, aiohttp, asyncio, urllib.request
session = requests.Session()
session.get("${at()}")
urllib.request.urlopen("${at()}").read()
other = aiohttp.ClientSession()
async def fetch():
    async with other.get("${at()}") as answer:
        return await answer.text()
await fetch()`;
    expect(await run(first, cell)).toMatchObject({ status: 'ok' });
    const next = `print(session.get("${at()}").text, urllib.request.urlopen("${at()}").read(), await fetch())\nawait other.close()`;
    expect((await run(next, cell)).stdout).toBe("hello b'hello' hello\n");
  });
});

it('code that resolves names itself is told of the proxy', async () => {
  const { limit } = await run('import socket\nsocket.create_connection(("api.example.com", 443))');
  expect(limit).toMatchObject({ name: 'network', setting: expect.stringContaining('HTTPS_PROXY') });
});
