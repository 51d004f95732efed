import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeSdist, makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { closeSession, openSession, post, runPython, unusedName } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

interface Installation {
  status: string;
  packages: { name: string; requested: string; status: string; version?: string; error?: string }[];
  notes?: string[];
  log: string;
}

let index: IndexServer;
let server: Server;
let cacheDir: string;

async function install(packages: string[], args: Record<string, unknown> = {}, target: Server = server) {
  const response = await post(target, '/execute', { name: 'install_dependencies', arguments: { packages, ...args } });
  const body = (await response.json()) as { result: Installation };
  expect(response.status, JSON.stringify(body)).toBe(200);
  return body.result;
}

beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  index.add(makeWheel('plain-thing', '2.0'));
  index.add(makeWheel('needs-plain', '1.0', { requires: ['plain-thing<2'] }));
  index.add(makeWheel('needs-new', '1.0', { requires: ['plain-thing>=2'] }));
  index.add(makeWheel('large', '1.0', { padding: 40_000_000 }));
  index.add(makeSdist('from-source', '1.0', 'open("/workspace/built-by-" + str(os.getuid()), "w")'));
  index.add(makeWheel('lying', '1.0'), { hash: 'lie' });
  index.add(makeWheel('nulls', '1.0'), { json: { size: null, hashes: null, yanked: null, 'core-metadata': null } });
  index.add(makeWheel('old-thing', '1.0'));
  index.mark('old-thing', { status: 'archived', reason: 'see new-thing' });
  index.add(makeWheel('needs-old', '1.0', { requires: ['old-thing'] }));
  index.add(makeWheel('unsafe', '1.0'));
  index.mark('unsafe', { status: 'quarantined', reason: 'malware' });
  index.add(makeWheel('needs-unsafe', '1.0', { requires: ['unsafe'] }));
  index.add(makeWheel('elsewhere', '1.0'), { href: 'http://169.254.169.254/elsewhere-1.0-py3-none-any.whl' });
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  server = await startServer({
    env: {
      GLOVEBOX_INDEX_URL: index.url,
      GLOVEBOX_CACHE_DIR: cacheDir,
      GLOVEBOX_DISK_MB: '32',
      // What a checkpoint reads takes its room until then, removed or not.
      GLOVEBOX_CHECKPOINT_AFTER_S: '0',
      GLOVEBOX_PACKAGES_DENY: 'needs-new',
    },
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
});

describe('an installation', () => {
  test('makes packages importable in the next execution, and lists them as the session’s', async () => {
    const session_id = unusedName('first');
    const result = await install(['needs-plain'], { session_id });
    expect(result).toMatchObject({
      status: 'ok',
      packages: [{ name: 'needs-plain', requested: 'needs-plain', status: 'installed', version: '1.0' }],
    });
    const run = await runPython(server, 'import plain_thing; print(plain_thing.__version__)', { session_id });
    expect(run).toMatchObject({ status: 'ok', stdout: '1.0\n' });
    const again = await install(['plain_thing'], { session_id });
    expect(again.packages).toMatchObject([{ status: 'already_satisfied', version: '1.0' }]);
    const listing = await post(server, '/execute', { name: 'list_installed_packages', session_id });
    const { result: listed } = (await listing.json()) as { result: { packages: unknown[] } };
    expect(listed.packages).toContainEqual({ name: 'needs-plain', version: '1.0', source: 'session' });
    expect(listed.packages).toContainEqual(expect.objectContaining({ name: 'pip', source: 'image' }));
  });

  test('of what another session has had asks the index for no file', async () => {
    await install(['plain-thing==2.0'], { session_id: 'one' });
    const before = index.count('/files/');
    const result = await install(['plain-thing==2.0'], { session_id: unusedName('two') });
    expect(result.packages[0]).toMatchObject({ status: 'installed', version: '2.0' });
    expect(index.count('/files/')).toBe(before);
  });

  test('replaces a version by another', async () => {
    const session_id = 'upgrade';
    await install(['plain-thing<2'], { session_id });
    await install(['plain-thing>=2'], { session_id });
    const run = await runPython(server, 'import plain_thing; print(plain_thing.__version__)', { session_id });
    expect(run.stdout).toBe('2.0\n');
  });

  test('installs what can be, and says why the rest cannot', async () => {
    const session_id = unusedName('mixed');
    const result = await install(
      ['plain-thing', 'no-such-thing', 'needs-plain==7', 'lying', 'elsewhere', 'needs-new'],
      { session_id },
    );
    expect(result.status).toBe('error');
    expect(result.packages.map(({ name, status }) => [name, status])).toEqual([
      ['plain-thing', 'installed'],
      ['no-such-thing', 'failed'],
      ['needs-plain', 'failed'],
      ['lying', 'failed'],
      ['elsewhere', 'failed'],
      ['needs-new', 'failed'],
    ]);
    const errors = Object.fromEntries(result.packages.map(({ name, error }) => [name, error ?? '']));
    expect(errors['no-such-thing']).toMatch(/no package named no-such-thing/);
    expect(errors['needs-plain']).toMatch(/needs-plain==7/);
    expect(errors['lying']).toMatch(/hash|sha256/i);
    expect(errors['elsewhere']).toMatch(/169\.254|address|private|internal|link-local/i);
    expect(errors['needs-new']).toMatch(/GLOVEBOX_PACKAGES_DENY/);
    expect(await runPython(server, 'import plain_thing', { session_id })).toMatchObject({ status: 'ok' });
  });

  test('says what the index says of a project: quarantined ones fail, archived ones are told of', async () => {
    const session_id = unusedName('marked');
    const result = await install(['nulls', 'needs-old', 'unsafe', 'needs-unsafe'], { session_id });
    expect(result).toMatchObject({
      status: 'error',
      packages: [
        { status: 'installed' },
        { status: 'installed' },
        { status: 'failed', error: expect.stringMatching(/^unsafe is marked quarantined .*malware/) },
        { status: 'failed', error: expect.stringMatching(/unsafe is marked quarantined .*malware/) },
      ],
      notes: [expect.stringMatching(/^old-thing is marked archived .*see new-thing/)],
    });
  });

  test('of 300 packages says for each what became of it', async () => {
    const there = Array.from({ length: 150 }, (_, number) => `many-${number}`);
    const missing = Array.from({ length: 150 }, (_, number) => `missing-${number}`);
    for (const name of there) index.add(makeWheel(name, '1.0'));
    const session_id = unusedName('many');
    const { status, packages } = await install([...there, ...missing], { session_id });
    expect(status).toBe('error');
    expect(packages).toHaveLength(300);
    expect(new Set(packages.slice(0, 150).map((each) => each.status))).toEqual(new Set(['installed']));
    for (const { status: failed, error } of packages.slice(150)) {
      expect([failed, error]).toEqual(['failed', expect.stringContaining('There is no package named missing-')]);
    }
    const run = await runPython(server, 'import many_0, many_149; print(many_149.__version__)', { session_id });
    expect(run.stdout).toBe('1.0\n');
  });

  test('tells its progress', async () => {
    const body = {
      name: 'install_dependencies',
      session_id: unusedName('told'),
      arguments: { packages: ['plain-thing'] },
    };
    const events = await (await post(server, '/execute/stream', body)).text();
    for (const word of ['resolving', 'installing 1 packages', 'downloading plain_thing'])
      expect(events).toContain(word);
    expect(events.match(/^event: result$/gm)).toHaveLength(1);
  });

  test('that would fill the disk says so, and leaves the session as it was', async () => {
    const session_id = 'full';
    await install(['plain-thing==1.0'], { session_id });
    const result = await install(['large'], { session_id });
    expect(result.packages[0]).toMatchObject({ status: 'failed', error: expect.stringMatching(/does not fit/) });
    const run = await runPython(server, 'import plain_thing, os; print(os.statvfs("/workspace").f_bavail > 4000)', {
      session_id,
    });
    expect(run).toMatchObject({ status: 'ok', stdout: 'True\n' });
  });

  test('on a disk that is full already fails for each package, and names the limit', async () => {
    const session_id = 'filled';
    const fill =
      'try:\n  with open("fill", "wb", 0) as file:\n    while file.write(bytes(65536)): pass\nexcept OSError: pass';
    await runPython(server, fill, { session_id });
    const result = await install(['plain-thing', 'needs-plain'], { session_id });
    const error = "The session's disk is full.";
    expect(result).toMatchObject({
      status: 'error',
      packages: [
        { status: 'failed', error },
        { status: 'failed', error },
      ],
      log: expect.not.stringContaining('Traceback'),
      limit: { name: 'disk_mb', value: 32, setting: expect.stringContaining('GLOVEBOX_DISK_MB') },
    });
    await runPython(server, 'import os; os.unlink("fill")', { session_id });
    expect(await install(['plain-thing'], { session_id })).toMatchObject({ status: 'ok' });
  });

  test.each([
    ['a file', 'open(".local", "w")'],
    ['a link to nowhere', 'import os; os.symlink("nowhere", ".local")'],
  ])('whose folder is %s names what is in the way', async (_what, code) => {
    const session_id = await openSession(server);
    await runPython(server, code, { session_id });
    const result = await install(['plain-thing'], { session_id });
    expect(result).toMatchObject({ status: 'error', packages: [{ status: 'failed' }], log: '' });
    expect(result.packages[0]?.error).toMatch(/^\/workspace\/\.local is not a folder, .* remove it\.$/);
    expect(result).not.toHaveProperty('limit');
    await closeSession(server, session_id);
  });

  test('that takes too long leaves nothing to import, and the session usable', async () => {
    index.faults.set('/files/needs_plain', { kind: 'silent' });
    index.add(makeWheel('slow-thing', '1.0'));
    index.faults.set('/files/slow_thing', { kind: 'silent' });
    index.faults.set('/simple/slow-thing', { kind: 'silent' });
    const session_id = 'slow';
    const result = await install(['slow-thing'], { session_id, timeout_s: 2 });
    expect(result).toMatchObject({
      status: 'timeout',
      packages: [{ status: 'not_attempted', error: expect.stringMatching(/time was up/) }],
      log: expect.not.stringContaining('Traceback'),
      limit: { name: 'timeout_s', value: 2 },
    });
    const run = await runPython(server, 'import importlib.util; print(importlib.util.find_spec("slow_thing"))', {
      session_id,
    });
    expect(run.stdout).toBe('None\n');
    index.faults.clear();
  });

  test('takes only wheels unless sources are allowed, which are built inside the sandbox', async () => {
    const refused = await install(['from-source'], { session_id: 'source' });
    expect(refused.packages[0]?.status).toBe('failed');
    await using allowing = await startServer({
      env: { GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: cacheDir, GLOVEBOX_PACKAGES_SDISTS: 'allow' },
    });
    const built = await install(['from-source'], { session_id: 'source' }, allowing);
    expect(built.packages[0], JSON.stringify(built)).toMatchObject({ status: 'installed', version: '1.0' });
    const run = await runPython(allowing, 'import os, from_source; print(os.path.exists(f"built-by-{os.getuid()}"))', {
      session_id: 'source',
    });
    expect(run.stdout).toBe('True\n');
  });

  test('by pip in the code itself goes the same way', async () => {
    const code = 'import subprocess, sys\nsys.exit(subprocess.run(["pip", "install", "plain-thing"]).returncode)';
    const session_id = 'pip';
    expect(await runPython(server, code, { session_id })).toMatchObject({ status: 'ok' });
    expect(await runPython(server, 'import plain_thing', { session_id })).toMatchObject({ status: 'ok' });
    const denied = await runPython(server, code.replace('plain-thing', 'needs-new'), { session_id });
    expect(denied.status).toBe('error');
  });

  test.each([
    '-r/etc/passwd',
    '--index-url=http://example.com',
    'git+https://example.com/x',
    'https://example.com/x.whl',
    'x @ file:///etc/passwd',
    './x',
    '/tmp/evil',
    'x; rm -rf /',
    'x && y',
    '',
  ])('refuses %j before anything is asked', async (text) => {
    const before = index.requests.length;
    const response = await post(server, '/execute', { name: 'install_dependencies', arguments: { packages: [text] } });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string; hint: string } };
    expect(error).toMatchObject({ code: 'invalid_input', hint: expect.stringMatching(/\w/) });
    expect(index.requests.length).toBe(before);
  });
});

describe('a sandbox', () => {
  test('reaches nothing but its index, which only answers what an index does', async () => {
    const run = await runPython(
      server,
      `import socket, time, urllib.request, urllib.error
def outcome(action):
    started = time.monotonic()
    try: action(); return 'reached'
    except OSError as error: return 'refused' if time.monotonic() - started < 1 else 'slow'
print(outcome(lambda: socket.create_connection(('1.1.1.1', 80), 5)))
print(outcome(lambda: socket.create_connection(('169.254.169.254', 80), 5)))
print(outcome(lambda: socket.create_connection(('127.0.0.1', ${index.port}), 5)))
print(outcome(lambda: socket.getaddrinfo('example.com', 80)))
for path in ('/', '/http://127.0.0.1:${index.port}/', '/../../etc/passwd', '/files/x/y/z'):
    try: print(urllib.request.urlopen('http://127.0.0.1:3141' + path).status)
    except urllib.error.HTTPError as error: print(error.code)
`,
      { session_id: 'reach' },
    );
    const lines = run.stdout.trim().split('\n');
    expect(lines.slice(0, 4)).toEqual(['refused', 'refused', 'refused', 'refused']);
    for (const code of lines.slice(4)) expect(Number(code), run.stdout).toBeGreaterThanOrEqual(400);
  });
});

test('numpy, pandas and a pure-Python package from the public index, into a container without a network', async () => {
  await using real = await startServer({ env: { GLOVEBOX_CACHE_DIR: cacheDir } });
  const result = await install(['numpy', 'pandas', 'requests'], { session_id: 'real' }, real);
  expect(
    result.packages.map(({ status }) => status),
    JSON.stringify(result),
  ).toEqual(['installed', 'installed', 'installed']);
  const code = 'import numpy, pandas, requests; print(pandas.DataFrame({"a": numpy.arange(3)}).a.sum())';
  expect(await runPython(real, code, { session_id: 'real' })).toMatchObject({ status: 'ok', stdout: '3\n' });
  const routes = "print(len(open('/proc/net/route').readlines()) - 1)";
  expect(await runPython(real, routes, { session_id: 'real' })).toMatchObject({ status: 'ok', stdout: '0\n' });
});
