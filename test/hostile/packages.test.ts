import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { type ErrorAnswer, post } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { expectUsable, openVictim, see, type Victim } from './setup.ts';

let index: IndexServer;
let server: Server;
let victim: Victim;
let cacheDir: string;
beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  index.add(makeWheel('lying', '1.0'), { hash: 'lie' });
  index.add(makeWheel('elsewhere', '1.0'), { href: 'http://169.254.169.254/elsewhere-1.0-py3-none-any.whl' });
  index.add(makeWheel('from-disk', '1.0'), { href: 'file:///etc/passwd' });
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  const env = { GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: cacheDir, GLOVEBOX_MEMORY_MB: '512' };
  server = await startServer({ env: { ...env, GLOVEBOX_POOL_SIZE: '1' } });
  victim = await openVictim(server);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
});

const install = (packages: unknown) =>
  post(server, '/execute', {
    name: 'install_dependencies',
    arguments: { packages, session_id: victim.id, timeout_s: 60 },
  });

describe('a requirement', () => {
  test.each([
    ['that is a file of requirements', '-r/etc/passwd'],
    ['that is an option of the installer', '--index-url=http://127.0.0.1:1/'],
    ['that hides an option in a second line', 'plain-thing\n--extra-index-url=http://127.0.0.1:1/'],
    ['that is a repository', 'git+https://example.invalid/x.git'],
    ['that is a URL', 'https://example.invalid/x-1.0-py3-none-any.whl'],
    ['that points to a URL', 'plain-thing @ file:///tmp/x'],
    ['that is a path', './x'],
    ['that is a path in the guise of a version', 'plain-thing===../../tmp/x'],
    ['that is a command', 'plain-thing; rm -rf /'],
    ['that has a shell in it', '$(touch /tmp/x)'],
    ['that is longer than any', `plain-thing${'>=1,'.repeat(1000)}`],
  ])('%s: refused before anything runs', async (_what, text) => {
    const before = index.count('/');
    const answer = await install([text]);
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as ErrorAnswer).error.code).toBe('invalid_input');
    expect(index.count('/')).toBe(before);
  });
});

describe('an index', () => {
  test.each([
    ['whose file has another hash than it says', 'lying'],
    ['whose file is on a private address', 'elsewhere'],
    ['whose file is a path of the host', 'from-disk'],
  ])('%s: that package fails, with the reason', async (_what, name) => {
    const { result } = (await (await install([name])).json()) as {
      result: { packages: { status: string; error?: string }[] };
    };
    expect(result.packages).toMatchObject([{ status: 'failed', error: expect.stringMatching(/\w/) }]);
    expect(JSON.stringify(result)).not.toContain('root:');
    await expectUsable(victim);
  });
});

/** Python: speaks to the only port that leads out, and says how each request was answered. */
const ASK = `
import socket
def ask(text):
    with socket.create_connection(("127.0.0.1", 3141), timeout=10) as s:
        s.sendall(text.encode("latin1")); s.settimeout(10)
        answer = b""
        try:
            while b"\\r\\n\\r\\n" not in answer:
                more = s.recv(65536)
                if not more: break
                answer += more
        except OSError: pass
        return answer.split(b" ")[1].decode() if b" " in answer else "closed"
def get(target, method="GET", more=""): return ask(f"{method} {target} HTTP/1.1\\r\\nHost: 127.0.0.1:3141\\r\\nConnection: close\\r\\n{more}\\r\\n")
`;

describe('code that speaks to the package index of its sandbox', () => {
  test.each<[what: string, code: string]>([
    ['as to a proxy, for cloud metadata: refused', 'get("http://169.254.169.254/latest/meta-data/")'],
    ['to make a tunnel: refused', 'get("169.254.169.254:80", "CONNECT")'],
    ['for a path above the index: refused', 'get("/simple/../../etc/passwd")'],
    ['for such a path, encoded: refused', 'get("/simple/..%2f..%2fetc%2fpasswd/")'],
    [
      'for a file of another address: refused',
      'get("/files/plain-thing/u" + "0" * 64 + "/http:%2f%2f169.254.169.254%2fx")',
    ],
    ['to upload: refused', 'get("/simple/plain-thing/", "POST", "Content-Length: 5\\r\\n")'],
    [
      'with a second request hidden in a body: refused',
      'get("/simple/plain-thing/", "GET", "Transfer-Encoding: chunked\\r\\n")',
    ],
    ['with a header of a megabyte: refused', 'get("/simple/plain-thing/", "GET", "X: " + "x" * 1_000_000 + "\\r\\n")'],
    ['with an address of 100 000 characters: refused', 'get("/simple/" + "a" * 100_000)'],
    ['with no HTTP at all: refused', 'ask("\\x16\\x03\\x01\\x02\\x00\\x01\\x00\\x01\\xfc\\x03\\x03\\r\\n\\r\\n")'],
  ])('%s', async (_what, code) => {
    const answer = await see(victim, `${ASK}\nprint(json.dumps(${code}))`);
    expect(answer).toMatch(/^(4\d\d|301|302|308|closed)$/);
    await expectUsable(victim);
  });

  test('over 2 000 connections that it leaves open: it runs out of its own, and the next installation works', async () => {
    const code = `import socket
held = []
try:
    for _ in range(2000): held.append(socket.create_connection(("127.0.0.1", 3141), timeout=2))
except OSError: pass
print(json.dumps(len(held) > 0))`;
    expect(await see(victim, code, { timeout_s: 60 })).toBe(true);
    const answer = await install(['plain-thing']);
    expect([answer.status, await answer.json()]).toMatchObject([200, { result: { status: 'ok' } }]);
    await expectUsable(victim);
  });
});

describe('code that waits for the next installation', () => {
  test('with settings of its own for the installer: they are not read', async () => {
    const code = `
for folder in ("/workspace", "/tmp", os.path.expanduser("~")):
    os.makedirs(folder + "/.config/pip", exist_ok=True); os.makedirs(folder + "/.config/uv", exist_ok=True)
    for name in (".config/pip/pip.conf", "pip.conf", ".pip"):
        try: open(f"{folder}/{name}", "w").write("[global]\\nindex-url = http://127.0.0.1:1/\\n")
        except OSError: pass
    open(folder + "/uv.toml", "w").write('[[index]]\\nurl = "http://127.0.0.1:1/"\\ndefault = true\\n')
    open(folder + "/.config/uv/uv.toml", "w").write('[[index]]\\nurl = "http://127.0.0.1:1/"\\ndefault = true\\n')
print(0)`;
    await see(victim, code);
    const answer = await install(['plain-thing']);
    expect(await answer.json()).toMatchObject({ result: { status: 'ok' } });
  });

  test('with modules of the names that the installer imports: they are not imported', async () => {
    const names = ['pip', 'uv', 'json', 'subprocess', 'sitecustomize', 'usercustomize', 'zipfile'];
    const at = (path: string) => `${server.url}/sessions/${victim.id}/files/${path}`;
    const trap = 'open("/workspace/taken", "w").close(); raise SystemExit(9)';
    for (const name of names) await fetch(at(`${name}.py`), { method: 'PUT', body: trap });
    const answer = await install(['plain-thing']);
    expect(await answer.json()).toMatchObject({ result: { status: 'ok' } });
    expect((await fetch(at('taken'))).status).toBe(404);
    for (const name of names) await fetch(at(`${name}.py`), { method: 'DELETE' });
    await expectUsable(victim);
  });
});
