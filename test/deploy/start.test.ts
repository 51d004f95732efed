import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { sendRaw } from '../support/raw-request.ts';
import { CLI, containersOf, environment, newStateDir, runCli, runToEnd, startServer } from '../support/server.ts';

/** Starts a server that is to refuse; what it said, once it is seen that nothing is left of it. */
async function refusedStart(env: Record<string, string>): Promise<string> {
  const stateDir = newStateDir();
  const { code, stdout, stderr } = await runCli(['serve'], environment(stateDir, { GLOVEBOX_PORT: '0', ...env }));
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).not.toMatch(/\n {4}at /);
  if (existsSync(join(stateDir, 'id'))) expect(await containersOf({ stateDir })).toEqual([]);
  const instances = join(stateDir, 'instances');
  expect(existsSync(instances) ? readdirSync(instances).filter((name) => /^http\./.test(name)) : []).toEqual([]);
  return stderr;
}

test('a start says where the page is, what Claude Code is given, and what was seen of the sandboxes', async () => {
  await using server = await startServer();
  const said = server.stderr();
  expect(said).toMatch(/^Sandboxes are (sealed as asked: each protection|NOT sealed as asked)/m);
  expect(said).toContain(`Page:        ${server.url}/\n`);
  expect(said).toContain(`claude mcp add --transport http glovebox ${server.url}/mcp\n`);
});

describe('a start that cannot be', () => {
  test('on a taken port says so, and leaves nothing', async () => {
    const holder = createServer();
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
    const address = holder.address();
    const port = String(typeof address === 'object' ? address?.port : 0);
    expect(await refusedStart({ GLOVEBOX_PORT: port })).toMatch(
      new RegExp(`127.0.0.1:${port}: the port is in use.*\n.*--port`),
    );
    holder.close();
  });

  test.each<[string, Record<string, string>, Record<string, string>]>([
    ['at the same port', {}, {}],
    ['of the same name, at another port', { GLOVEBOX_INSTANCE: 'shared' }, { GLOVEBOX_PORT: '0' }],
  ])(
    'of a second server of a state directory, %s, says what to do, and the first is untouched',
    async (_, of, change) => {
      await using first = await startServer({ port: await freePort(), env: { GLOVEBOX_POOL_SIZE: '1', ...of } });
      await expect.poll(async () => (await containersOf(first)).length).toBe(1);
      const env = environment(first.stateDir, { GLOVEBOX_PORT: String(first.port), ...of, ...change });
      const { code, stderr } = await runCli(['serve'], env);
      expect(code).toBe(1);
      expect(stderr).toMatch(/running already.*\n.*GLOVEBOX_INSTANCE.*in a cluster only: docs\/control-planes\.md/);
      expect(await containersOf(first)).toHaveLength(1);
    },
  );

  test('of one of several servers on Docker says that they share sessions in a cluster only', async () => {
    expect(await refusedStart({ GLOVEBOX_STATE: 'cluster' })).toMatch(
      /GLOVEBOX_STATE.*\n.*GLOVEBOX_ENGINE to kubernetes/,
    );
  });

  test('for an engine that never answers says so, and until then /health says that the server starts', async () => {
    const engine = createServer();
    const asked = new Promise<void>((resolve) => engine.once('connection', () => resolve()));
    await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
    const address = engine.address();
    const port = await freePort();
    const refused = refusedStart({
      GLOVEBOX_PORT: String(port),
      DOCKER_HOST: `tcp://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    });
    await asked;
    const url = `http://127.0.0.1:${port}`;
    const waiting = fetch(`${url}/tools`);
    const health = await fetch(`${url}/health`);
    expect([health.status, await health.json()]).toEqual([503, { status: 'starting' }]);
    const answer = await waiting;
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { error: expect.objectContaining({ message: 'The server is shutting down.' }) },
    ]);
    expect(await refused).toContain('does not answer');
    await expect(fetch(url)).rejects.toThrow();
    engine.close();
  });

  test.each(['0.0.0.0', '::', '192.168.1.7', 'example.com'])(
    'beyond loopback, on %s, without saying who may call',
    async (host) => {
      expect(await refusedStart({ GLOVEBOX_HOST: host })).toMatch(/GLOVEBOX_HOST.*\n.*GLOVEBOX_AUTH/);
    },
  );

  test.each([
    ['GLOVEBOX_MEMROY_MB', 'GLOVEBOX_MEMORY_MB'],
    ['GLOVEBOX_EXEC_TIMEOUT', 'GLOVEBOX_EXEC_TIMEOUT_S'],
    ['GLOVEBOX_STATEDIR', 'GLOVEBOX_STATE_DIR'],
  ])('with %s suggests %s', async (wrong, right) => {
    expect(await refusedStart({ [wrong]: '1' })).toBe(`glovebox: ${wrong} is not a setting.\nDid you mean ${right}?\n`);
  });

  test('with a number out of its range is told the range', async () => {
    expect(await refusedStart({ GLOVEBOX_PORT: '70000' })).toMatch(
      /^glovebox: GLOVEBOX_PORT is "70000": it must be 0 to 65535\.\n/,
    );
    expect(await refusedStart({ GLOVEBOX_AUTH: 'kees' })).toMatch(/: it must be none or keys or jwt or keys,jwt\.\n/);
  });

  test('by a Node that is too old is told so in one sentence, before anything is loaded', async () => {
    const old = "data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '20.19.0' } })";
    const { code, stderr } = await runToEnd(process.execPath, ['--import', old, CLI, 'serve']);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^glovebox needs Node 22\.13 or later, and this is v\S+: .+\.\n$/),
    });
  });

  test('of a clone by a user who has no engine and may not install one downloads nothing', async () => {
    const setup = fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url));
    const nobody = [
      'data:text/javascript,import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";',
      'process.getuid = () => 1000; fs.existsSync = () => false; syncBuiltinESMExports()',
    ].join('');
    const env = { PATH: process.env['PATH'], HOME: '/nonexistent' };
    const { code, stderr } = await runToEnd(process.execPath, ['--import', nobody, setup, '--engine'], env);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^glovebox setup: No container engine is on this machine, .*apt-get install docker\.io/);
  });

  test.each([
    ['GLOVEBOX_PORT', 'eighty'],
    ['GLOVEBOX_PORT', '70000'],
    ['GLOVEBOX_MEMORY_MB', '1.5'],
    ['GLOVEBOX_EXEC_TIMEOUT_S', '-1'],
    ['GLOVEBOX_EXEC_TIMEOUT_S', 'NaN'],
    ['GLOVEBOX_INSTANCE', '../x'],
    ['GLOVEBOX_ON_SHUTDOWN', 'maybe'],
  ])('with %s=%s names the setting', async (name, value) => {
    expect(await refusedStart({ [name]: value })).toMatch(
      new RegExp(`^glovebox: ${name} is "${value.replace('.', '\\.')}": .+\n.+\n$`),
    );
  });

  test.each([
    ['GLOVEBOX_CPUS', '1023.5', /1023\.5.* 0\.01 to \d+\.\n.*Lower GLOVEBOX_CPUS/],
    ['GLOVEBOX_RUNTIME', 'nonesuch', /"nonesuch", but the engine has only: .*runc.*\n.*leave out GLOVEBOX_RUNTIME/],
    ['GLOVEBOX_DISK_MB', '1000', /1000.* 1024 MiB.*\n.*lower GLOVEBOX_DISK_MB to/],
    ['GLOVEBOX_INDEX_URL', 'ftp://mirror.example/simple', /ftp:.*\n.*http:\/\/, https:\/\/ or file:/],
    ['GLOVEBOX_INDEX_URL', 'https://mirror.example/simple,http://', /has http:\/\/,.*\n.*https:/],
    ['GLOVEBOX_INDEX_URL', 'mirror.example/simple', /mirror\.example.*\n.*directories that exist/],
    ['GLOVEBOX_PACKAGES_ALLOW', 'requests,***', /"requests,\*\*\*".*\n.*=requests,pandas>=2/],
    ['SSL_CERT_FILE', '/nowhere/ca.pem', /\/nowhere\/ca\.pem.*\n.*SSL_CERT_FILE/],
  ])('with %s=%s, which every call would fail by', async (name, value, said) => {
    const text = await refusedStart({ [name]: value });
    expect(text).toMatch(said);
    expect(text).toContain(name);
  });

  test.each(['unix:///nowhere/docker.sock', 'tcp://127.0.0.1:1', 'nonsense'])(
    'with an engine at %s',
    async (address) => {
      const said = await refusedStart({ DOCKER_HOST: address });
      expect(said).toContain(address.replace(/^\w+:\/\//, ''));
      expect(said).toContain('DOCKER_HOST');
    },
  );

  test('with a state directory that cannot be written', async () => {
    const said = await refusedStart({ GLOVEBOX_STATE_DIR: '/etc/hostname/state' });
    expect(said).toMatch(/\/etc\/hostname\/state.*\n.*GLOVEBOX_STATE_DIR/);
  });

  test.each([
    [['serv'], /"serv" is not a command.*serve/, 2],
    [['serve', '--prot', '1'], /--prot is not a setting.*\n.*--port/, 1],
    [['serve', '--port'], /--port needs a value/, 1],
    [['serve', 'now'], /"now" is not understood/, 1],
  ])('by glovebox %j', async (args, said, code) => {
    const result = await runCli(args, environment(newStateDir()));
    expect(result).toMatchObject({ code, stdout: '', stderr: expect.stringMatching(said) });
  });
});

describe('the command line', () => {
  test.each([
    ['--help', /^Usage: glovebox \[COMMAND\].*\n {2}run .*\n.*--help --all lists every setting\.\n$/s],
    ['--help --all', /^Usage: glovebox \[COMMAND\].*GLOVEBOX_CONCURRENCY .*\n +1 to 64; default 4\n/s],
    ['serve --help --all', /^Usage: glovebox serve \[--setting.*GLOVEBOX_SETUP .*\n +auto\|never; default auto\n/s],
    ['image -h', /^Usage: glovebox image \[--control-plane\]/],
    ['key --help', /glovebox key revoke/],
    ['--version', /^\d+\.\d+\.\d+\n$/],
  ])('glovebox %s', async (args, said) => {
    const result = await runCli(args.split(' '), environment(newStateDir()));
    expect(result).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(said) });
  });
});

describe('who may call, over real HTTP', () => {
  const paths = ['/health', '/tools', '/sessions', '/mcp', '/sse'];

  test('a request under a foreign host name, or from a foreign page, is refused on every path', async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
    for (const headers of [
      { host: 'evil.example' },
      { host: `127.0.0.1.evil.example:${server.port}` },
      { origin: 'https://evil.example' },
      { origin: 'null' },
    ]) {
      for (const path of paths) {
        const answer = await sendRaw(server.port, path, { headers });
        expect(answer.status).toBe(403);
        expect(answer.json()).toMatchObject({
          error: { code: 'forbidden', hint: expect.stringMatching(/GLOVEBOX_ALLOWED_/) },
        });
      }
      const run = { method: 'POST', headers: { ...headers, 'content-type': 'application/json' } };
      const body = '{"name": "execute_python", "arguments": {"code": "print(1)"}}';
      expect((await sendRaw(server.port, '/execute', { ...run, body })).status).toBe(403);
    }
    expect(await containersOf(server)).toEqual([]);
  });

  test('loopback names and pages are served, and those that the operator allows', async () => {
    const env = {
      GLOVEBOX_POOL_SIZE: '0',
      GLOVEBOX_ALLOWED_HOSTS: 'box.example',
      GLOVEBOX_ALLOWED_ORIGINS: 'https://chat.example',
    };
    await using server = await startServer({ env });
    for (const headers of [
      { host: `localhost:${server.port}` },
      { host: '[::1]' },
      { host: 'box.example' },
      { origin: 'http://localhost:3000' },
      { origin: 'https://chat.example' },
    ])
      expect((await sendRaw(server.port, '/tools', { headers })).status).toBe(200);
  });

  test('beyond loopback it listens when GLOVEBOX_AUTH=none is said', async () => {
    const env = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HOST: '0.0.0.0', GLOVEBOX_AUTH: 'none' };
    await using server = await startServer({ env });
    expect((await sendRaw(server.port, '/health')).status).toBe(200);
  });
});
