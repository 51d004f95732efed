import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { callTool, type Execution, post, runPython, unusedName } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

let web: WebServer;
let server: Server;
let settings: Record<string, string>;

beforeAll(async () => {
  web = await startWebServer();
  settings = {
    GLOVEBOX_EGRESS: `${WEB_HOST}:${web.http},*.example.com`,
    GLOVEBOX_EGRESS_PRIVATE: '127.0.0.0/8',
    GLOVEBOX_EGRESS_MB: '4',
    GLOVEBOX_CHECKPOINT_AFTER_S: '0',
  };
  server = await startServer({ env: settings });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
});

const url = (path = '/hello') => `http://${WEB_HOST}:${web.http}${path}`;
const fetchCode = (path?: string) => `import urllib.request\nprint(urllib.request.urlopen("${url(path)}").read())`;
const PROXY = 'import os\nprint(os.environ.get("HTTP_PROXY"))';
/** Fetches through a proxy of that URL, which another execution was told. */
const fetchBy = (proxy: string) => `import urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": ${JSON.stringify(proxy)}}))
print(opener.open("${url()}").read())`;

async function run(code: string, args: Record<string, unknown> = {}): Promise<Execution> {
  return await runPython(server, code, args);
}

describe('the token of an execution', () => {
  it('is worth nothing once the execution is over', async () => {
    const proxy = (await run(PROXY)).stdout.trim();
    expect(proxy).toMatch(/^http:\/\/glovebox:[\w-]{43}@127\.0\.0\.1:3143$/);
    expect(await run(fetchBy(proxy))).toMatchObject({
      status: 'error',
      error: { name: 'HTTPError', value: expect.stringMatching(/^HTTP Error 403: The execution is over/) },
    });
  });

  it('is worth nothing in another session while the execution runs', async () => {
    const [one, other] = [unusedName('one'), unusedName('other')];
    const begun = await run('import os, time\nprint(os.environ["HTTP_PROXY"], flush=True)\ntime.sleep(60)', {
      ...{ session_id: one, background: true },
    });
    const id = { execution_id: begun.execution_id };
    const read = async () => (await callTool(server, 'get_execution', id)) as Execution;
    await expect.poll(async () => (await read()).stdout).toContain('http://');
    const proxy = (await read()).stdout.trim();
    expect((await run(fetchBy(proxy), { session_id: other })).error?.value).toMatch(
      /^HTTP Error 403: The execution is over/,
    );
    expect((await run(fetchBy(proxy), { session_id: one })).stdout).toBe("b'hello'\n");
    await callTool(server, 'cancel_execution', id);
    expect((await run(fetchBy(proxy), { session_id: one })).error?.value).toMatch(
      /^HTTP Error 403: The execution is over/,
    );
  });

  it('ends with the cell of a context, and threads that go on lose it', async () => {
    const cell = { session_id: unusedName('cells'), context: 'c' };
    const begin = `import threading, urllib.request, urllib.error
go, seen = threading.Event(), []
opener = urllib.request.build_opener()
opener.open("${url()}").read()
def later():
    go.wait()
    try:
        seen.append(opener.open("${url()}").read())
    except urllib.error.HTTPError as error:
        seen.append(error.code)
thread = threading.Thread(target=later)
thread.start()`;
    expect(await run(begin, cell)).toMatchObject({ status: 'ok' });
    const end = await run(
      'go.set()\nthread.join()\nprint(seen, os.environ.get("HTTP_PROXY") if (os := __import__("os")) else 0)',
      {
        ...{ ...cell, web: [] },
      },
    );
    expect(end.stdout).toBe('[403] None\n');
  });

  it('is of use to processes that the code starts', async () => {
    const code = `import subprocess, sys\nsubprocess.run([sys.executable, "-c", ${JSON.stringify(fetchCode())}], check=True)`;
    expect((await run(code)).stdout).toBe("b'hello'\n");
  });

  it('cuts a connection that is open when the execution is cancelled', async () => {
    const code = `import http.client, os, urllib.parse, base64, time
proxy = urllib.parse.urlsplit(os.environ["HTTP_PROXY"])
code = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
connection = http.client.HTTPConnection(proxy.hostname, proxy.port)
connection.set_tunnel("${WEB_HOST}", ${web.http}, {"Proxy-Authorization": f"Basic {code}"})
connection.connect()
print("open", flush=True)
time.sleep(60)`;
    const begun = await run(code, { background: true });
    const id = { execution_id: begun.execution_id };
    await expect
      .poll(async () => ((await callTool(server, 'get_execution', id)) as Execution).stdout)
      .toContain('open');
    const ended = (await callTool(server, 'cancel_execution', id)) as Execution;
    expect(ended).toMatchObject({ status: 'cancelled', web: { hosts: [{ host: WEB_HOST, requests: 1 }] } });
  });
});

describe('what a call or a session is narrowed to', () => {
  it('is what it may reach, and nothing else', async () => {
    const narrowed = await run(fetchCode(), { web: ['a.example.com'] });
    expect(narrowed).toMatchObject({
      status: 'error',
      web: { refused: [{ host: WEB_HOST, rule: 'host', message: expect.stringContaining('"web" of this call') }] },
    });
    const none = await run(PROXY, { web: [] });
    expect(none.stdout).toBe('None\n');
    expect((await run(fetchCode(), { web: [`${WEB_HOST}:${web.http}`] })).stdout).toBe("b'hello'\n");
  });

  it('is refused by name where it is wider than what is above it', async () => {
    const refusal = async (path: string, body: object) => {
      const response = await post(server, path, body);
      return {
        status: response.status,
        ...((await response.json()) as { error: { code: string; message: string } }).error,
      };
    };
    const call = { name: 'execute_python', arguments: { code: '1', web: ['a.example.com', 'other.example'] } };
    const expected = { status: 400, code: 'invalid_input', message: expect.stringContaining('other.example') };
    expect(await refusal('/execute', call)).toMatchObject(expected);
    expect(await refusal('/sessions', { web: ['other.example'] })).toMatchObject(expected);
    const message = expect.stringContaining('list');
    expect(await refusal('/sessions', { web: 'a.example.com' })).toMatchObject({ code: 'invalid_input', message });
  });

  it('of a session counts for its calls, its copies, and after hibernation and a restart', async () => {
    const stateDir = newStateDir();
    const place = { stateDir, port: await freePort(), env: settings };
    const first = await startServer(place);
    const make = async (target: Server, path: string, body: object) =>
      (await (await post(target, path, body)).json()) as { session_id: string; snapshot_id: string; web?: string[] };
    const patterns = ['a.example.com'];
    const { session_id: id, web: told } = await make(first, '/sessions', { name: 'narrow', web: patterns });
    expect(told).toEqual(patterns);
    expect(await make(first, '/sessions', { name: 'narrow', web: patterns })).toMatchObject({ session_id: id });
    const other = await post(first, '/sessions', { name: 'narrow', web: ['b.example.com'] });
    expect(other.status).toBe(400);
    await runPython(first, 'open("a", "w").write("1")', { session_id: id });
    const fork = await make(first, `/sessions/${id}/fork`, { name: 'fork' });
    const { snapshot_id: snapshot } = await make(first, `/sessions/${id}/snapshots`, {});
    const opened = await make(first, '/sessions', { name: 'opened', from_snapshot: snapshot });
    expect([fork.web, opened.web]).toEqual([patterns, patterns]);
    const wider = await post(first, '/sessions', { from_snapshot: snapshot, web: ['*.example.com'] });
    expect(wider.status).toBe(400);
    await first.kill();
    await using second = await startServer(place);
    for (const session_id of [id, 'fork', 'opened']) {
      const { web: used } = await runPython(second, fetchCode(), { session_id });
      expect(used?.refused).toMatchObject([{ host: WEB_HOST, message: expect.stringContaining('of this session') }]);
    }
  });
});

it('an execution in the background goes on to reach its hosts when the server was killed', async () => {
  const place = { stateDir: newStateDir(), port: await freePort(), env: settings };
  const first = await startServer(place);
  const code = `import os, time, urllib.request
fetch = lambda: urllib.request.urlopen("${url()}").read()
print(fetch(), flush=True)
while not os.path.exists("go"): time.sleep(0.02)
print(fetch(), flush=True)`;
  const begun = await runPython(first, code, { session_id: 'kept', background: true });
  const id = { execution_id: begun.execution_id };
  const output = async (target: Server) => ((await callTool(target, 'get_execution', id)) as Execution).stdout;
  await expect.poll(() => output(first)).toContain('hello');
  // Not at its end alone.
  expect(await callTool(first, 'get_execution', id)).toMatchObject({
    ...{ status: 'running', web: { hosts: [{ host: WEB_HOST, port: web.http, requests: 1 }], refused: [] } },
  });
  await first.kill();
  await using second = await startServer(place);
  await runPython(second, 'open("go", "w").close()', { session_id: 'kept' });
  const ended = (await callTool(second, 'get_execution', { ...id, wait_s: 30 })) as Execution;
  expect(ended.error).toBeUndefined();
  expect(ended).toMatchObject({ status: 'ok', web: { hosts: [{ host: WEB_HOST, port: web.http, requests: 1 }] } });
  expect(ended.stdout).toBe("b'hello'\nb'hello'\n");
  expect((await callTool(second, 'get_execution', id)) as Execution).toMatchObject({ web: ended.web });
});

it('a server that names no hosts says nothing of them, and has no proxy inside', async () => {
  await using sealed = await startServer();
  expect((await runPython(sealed, PROXY)).stdout).toBe('None\n');
  const connect = 'import socket\nsocket.create_connection(("127.0.0.1", 3143))';
  expect((await runPython(sealed, connect)).error?.name).toBe('ConnectionRefusedError');
  const response = await post(sealed, '/sessions', { web: ['a.example.com'] });
  expect(response.status).toBe(400);
  const { tools } = (await (await fetch(`${sealed.url}/tools`)).json()) as { tools: { inputSchema: object }[] };
  expect(JSON.stringify(tools.map(({ inputSchema }) => inputSchema))).not.toContain('"web"');
});
