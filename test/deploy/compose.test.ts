import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { buildControlImage } from '../../src/engines/docker/images/control-image.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import { version } from '../../src/version.ts';
import { type ComposeCommand, findCompose } from '../setup/compose.ts';
import { freePort } from '../support/free-port.ts';
import { connectCommand, runPythonBy } from '../support/mcp-clients.ts';
import { runPython } from '../support/rest-client.ts';
import { engine, runShell } from '../support/server.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const IMAGE = 'glovebox:latest';
const BUILD_LIMIT_MS = 20 * 60_000;
const TEST_LIMIT_MS = 240_000;
const UP_LIMIT_MS = 60_000;
const say = (line: string) => void process.stderr.write(`${line}\n`);

const socket = inject('engineAddress').replace(/^unix:\/\//, '');
const group = String(statSync(socket).gid);

const commands = (await findCompose()).map((command): [string, ComposeCommand] => [command.join(' '), command]);
if (commands.length === 0) {
  say('SKIPPED: the tests of the compose files, for this machine has neither "docker compose" nor "docker-compose".');
  if (process.env['CI']) throw new Error('Install docker compose, or docker-compose.');
}

beforeAll(async () => {
  const { controlBase: base, hostEnvironment } = loadConfig();
  await buildControlImage(engine(), { base, setup: 'auto', hostEnvironment, version }, say);
}, BUILD_LIMIT_MS);

/** A project of its own on free ports, taken down when the test ends. */
class Project {
  readonly name = `gbxtest${randomBytes(4).toString('hex')}`;
  readonly #command: ComposeCommand;
  readonly #files: readonly string[];
  readonly #ports: readonly [number, number];

  constructor(command: ComposeCommand, ports: readonly [number, number], files: readonly string[] = ['compose.yaml']) {
    this.#command = command;
    this.#ports = ports;
    this.#files = files;
    onTestFinished(async () => void (await this.run('--profile', 'http', '--profile', 'stdio', 'down', '-v')), 60_000);
  }

  get servers(): { url: string }[] {
    return this.#ports.map((port) => ({ url: `http://127.0.0.1:${port}` }));
  }

  /** The command line of Compose with these arguments, and all that the files leave open. */
  line(...args: string[]): [string, ...string[]] {
    const variables = {
      COMPOSE_PROJECT_NAME: this.name,
      DOCKER_HOST: inject('engineAddress'),
      DOCKER_SOCKET: socket,
      DOCKER_GID: group,
      GLOVEBOX_IMAGE: 'slim',
      GLOVEBOX_PORT: String(this.#ports[0]),
      MCP_PORT: String(this.#ports[1]),
    };
    const files = this.#files.flatMap((file) => ['-f', `${ROOT}${file}`]);
    const assignments = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
    return ['env', ...assignments, ...this.#command, ...files, ...args];
  }

  async run(...args: string[]) {
    const [command, ...rest] = this.line(...args);
    return await runCommand(command, rest, { timeoutMs: UP_LIMIT_MS });
  }

  async expect(...args: string[]): Promise<void> {
    const { code, stderr } = await this.run(...args);
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
  }

  /** Resolves when the server answers: it is a container's start away, of which no event tells. */
  async untilUp(): Promise<void> {
    const deadline = Date.now() + UP_LIMIT_MS;
    const answers = () =>
      fetch(`${this.servers[0]?.url}/health`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await answers())) {
      if (Date.now() > deadline) throw new Error(`No answer.\n${(await this.run('logs')).stdout}`);
      await sleep(200);
    }
  }

  /** What Compose made, and what that made. */
  async left(stateId: string): Promise<string[]> {
    const all = await engine().listContainers({ all: true });
    return all
      .filter(
        ({ Labels }) =>
          Labels['com.docker.compose.project'] === this.name || Labels['glovebox.instance']?.endsWith(`@${stateId}`),
      )
      .map(({ Names }) => String(Names[0]));
  }

  /** The container of a service. */
  async container(service: string): Promise<string> {
    const label = [`com.docker.compose.project=${this.name}`, `com.docker.compose.service=${service}`];
    const [found] = await engine().listContainers({ filters: { label } });
    if (!found) throw new Error(`${service} does not run: ${(await this.run('logs')).stdout}`);
    return found.Id;
  }

  async execute(service: string, ...args: string[]): Promise<string> {
    return (await runCommand('docker', ['exec', await this.container(service), ...args])).stdout;
  }
}

/** What the README has people try, against this server. */
async function runReadmeLines(url: string): Promise<void> {
  const lines = readFileSync(`${ROOT}README.md`, 'utf8').match(
    /^curl .*(health|tools|Hello from MCP|Count|installed_packages).*$/gm,
  );
  expect(lines).toHaveLength(5);
  for (const line of lines ?? []) {
    const { code, stdout } = await runShell(`${line.replace('http://localhost:8000', url)} -sS --fail`);
    expect({ line, code }).toEqual({ line, code: 0 });
    expect(stdout).toMatch(/"status":"ok"|"tools":|Count: 4|"packages":/);
  }
}

async function freePorts(): Promise<[number, number]> {
  return [await freePort(), await freePort()];
}

const FILES = [['compose.yaml'], ['compose.yaml', 'compose.socket-proxy.yaml']];
const cases = commands.flatMap(([name, command]) =>
  FILES.map((files): [string, string, ComposeCommand, string[]] => [name, files.join(' and '), command, files]),
);

describe.skipIf(commands.length === 0).each(cases)('%s with %s', (_name, _files, command, files) => {
  test(
    'serves on both ports, keeps a session over restarts and replacements, and leaves nothing behind',
    async () => {
      const project = new Project(command, await freePorts(), files);
      await project.expect('--profile', 'http', 'up', '-d');
      await project.untilUp();
      const [one = { url: '' }, two = { url: '' }] = project.servers;
      for (const { url } of project.servers) await runReadmeLines(url);
      await runPython(one, 'open("kept.txt", "w").write("still here")');
      const read = async () => (await runPython(two, 'print(open("kept.txt").read())')).stdout;
      expect(await read()).toBe('still here\n');
      const again = [['restart'], ['restart', 'http'], ['up', '-d', '--force-recreate']];
      for (const step of again) {
        await project.expect('--profile', 'http', ...step);
        await project.untilUp();
        expect(await read(), step.join(' ')).toBe('still here\n');
      }
      const stateId = await project.execute('http', 'cat', '/var/lib/glovebox/id');
      expect(stateId).toMatch(/^[0-9a-f]{8}$/);
      await project.expect('--profile', 'http', 'down', '-v');
      expect(await project.left(stateId)).toEqual([]);
    },
    TEST_LIMIT_MS,
  );

  test(
    'serves stock MCP clients by run and by exec, and leaves nothing behind',
    async () => {
      const project = new Project(command, await freePorts(), files);
      await project.expect('--profile', 'stdio', 'up', '-d');
      const stateId = () => project.execute('stdio', 'cat', '/var/lib/glovebox/id');
      const container = await project.container('stdio');
      const lines = [
        project.line('run', '--rm', '-T', 'stdio'),
        ['docker', 'exec', '-i', container, 'node', '/app/dist/cli.js', 'stdio'],
        ['docker', 'attach', '--sig-proxy=false', container],
      ] as const;
      for (const line of lines) {
        await using client = await connectCommand(line);
        expect(await runPythonBy(client, 'print(6 * 7)')).toMatchObject({ stdout: '42\n' });
      }
      const id = await stateId();
      await project.expect('--profile', 'stdio', 'down', '-v');
      expect(await project.left(id)).toEqual([]);
    },
    TEST_LIMIT_MS,
  );
});

describe.skipIf(commands.length === 0)('compose', () => {
  const command = commands[0]?.[1] ?? ['docker-compose'];

  test('behind the socket proxy a control plane gets no container but sandboxes', {
    timeout: TEST_LIMIT_MS,
  }, async () => {
    const project = new Project(command, await freePorts(), FILES[1]);
    await project.expect('--profile', 'http', 'up', '-d');
    await project.untilUp();
    const ask = async (
      method: string,
      path: string,
      body: object | undefined,
      socketPath = '/run/glovebox/engine.sock',
    ) => {
      const request = JSON.stringify({ socketPath, method, path, headers: { 'Content-Type': 'application/json' } });
      const script = `require('http').request(${request}, (r) => console.log(r.statusCode)).on('error', (e) => console.log(e.code)).end(${body === undefined ? '' : JSON.stringify(JSON.stringify(body))})`;
      return (await project.execute('http', 'node', '-e', script)).trim();
    };
    expect(await ask('GET', '/version', undefined)).toBe('200');
    expect(await ask('GET', '/version', undefined, '/var/run/docker.sock')).toMatch(/^E/);
    expect(await ask('GET', '/info', undefined)).toBe('403');
    const sandboxes = await engine().listImages({ filters: { label: ['glovebox.image=slim'] } });
    const Image = sandboxes[0]?.RepoTags?.[0];
    expect(await ask('POST', '/containers/create', { Image, HostConfig: { Privileged: true } })).toBe('403');
    expect(await ask('POST', '/containers/create', { Image })).toBe('403');
    const own = await project.container('http');
    expect(await ask('DELETE', `/containers/${own}`, undefined)).toBe('403');
    expect(await ask('POST', `/containers/${own}/exec`, { Cmd: ['sh'] })).toBe('403');
    expect(await ask('POST', `/exec/${'0'.repeat(64)}/start`, {})).toBe('403');
  });

  test('on a busy port says so and fails', { timeout: TEST_LIMIT_MS }, async () => {
    const busy = createServer().listen(0, '127.0.0.1');
    await once(busy, 'listening');
    onTestFinished(() => void busy.close());
    const address = busy.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const project = new Project(command, [port, await freePort()]);
    const { code, stderr } = await project.run('--profile', 'http', 'up', '-d');
    expect(code).toBe(1);
    expect(stderr).toContain(String(port));
    expect(stderr).toContain('already in use');
  });

  test('without a socket at the place named fails, and makes nothing in its place', {
    timeout: TEST_LIMIT_MS,
  }, async () => {
    const project = new Project(command, await freePorts());
    const [env, ...rest] = project.line('--profile', 'http', 'up', '-d');
    const args = rest.map((argument) =>
      argument.startsWith('DOCKER_SOCKET=') ? 'DOCKER_SOCKET=/nonesuch.sock' : argument,
    );
    const { code, stderr } = await runCommand(env, args);
    expect(code).toBe(1);
    expect(stderr).toContain('/nonesuch.sock');
    expect(() => statSync('/nonesuch.sock')).toThrow('ENOENT');
  });
});

describe('the image of the control plane', () => {
  const run = (...args: string[]) =>
    runCommand('docker', ['run', '--rm', '--network=none', ...args], { timeoutMs: 60_000 });
  const mount = ['-v', `${socket}:/var/run/docker.sock`, '-e', 'DOCKER_HOST=unix:///var/run/docker.sock'];

  test('checks its health, and carries labels and nothing of the way to a registry', async () => {
    const { Config, Size } = await engine().getImage(IMAGE).inspect();
    expect(Config).toMatchObject({ StopSignal: 'SIGTERM' });
    expect(Config.Healthcheck?.Test?.join(' ')).toContain('/health-check.js');
    expect(Config.Labels).toMatchObject({ 'org.opencontainers.image.version': version });
    expect(Size).toBeLessThan(300e6);
    const { stdout } = await run(
      '--entrypoint',
      'sh',
      IMAGE,
      '-c',
      'ls /app /app/node_modules; find / -xdev -name npmrc',
    );
    expect(stdout).toContain('dockerode');
    expect(stdout).not.toMatch(/typescript|vitest|access/);
  });

  test('without a socket says how to bring one', async () => {
    const { code, stderr } = await run('-e', 'DOCKER_HOST=unix:///var/run/docker.sock', IMAGE);
    expect(code).toBe(1);
    expect(stderr).toMatch(/ENOENT.*\n.*DOCKER_SOCKET=/);
  });

  test('without permission names the line to run', async () => {
    const { code, stderr } = await run(...mount, '--user', '65532:65532', IMAGE);
    expect(code).toBe(1);
    expect(stderr).toContain(`DOCKER_GID=${group} docker compose --profile http up -d`);
  });

  test('on a read-only volume says that it cannot write, whether it was used before or not', async () => {
    const volume = `gbxtest-${randomBytes(4).toString('hex')}`;
    onTestFinished(async () => void (await engine().getVolume(volume).remove()));
    const state = `${volume}:/var/lib/glovebox`;
    await run('-v', state, '--entrypoint', 'true', IMAGE);
    const start = () => run(...mount, '-v', `${state}:ro`, IMAGE);
    const line = 'glovebox: The state directory /var/lib/glovebox cannot be written.';
    expect(await start()).toMatchObject({ code: 1, stderr: expect.stringContaining(line) });
    const use = 'mkdir -p /var/lib/glovebox/instances/http-8000; printf 0123abcd > /var/lib/glovebox/id';
    await run('-v', state, '--entrypoint', 'sh', IMAGE, '-c', use);
    expect(await start()).toMatchObject({ code: 1, stderr: expect.stringContaining(line) });
  });

  test('beyond loopback asks who may call', async () => {
    const { code, stderr } = await run('-e', 'GLOVEBOX_AUTH=', IMAGE);
    expect(code).toBe(1);
    expect(stderr).toContain('GLOVEBOX_AUTH=none');
  });

  test('serves a stock MCP client by docker run', { timeout: TEST_LIMIT_MS }, async () => {
    const options = ['-e', 'GLOVEBOX_IMAGE=slim', ...mount];
    await using client = await connectCommand([
      'docker',
      'run',
      '-i',
      '--rm',
      '--network=none',
      ...options,
      IMAGE,
      'stdio',
    ]);
    expect(await runPythonBy(client, 'print(6 * 7)')).toMatchObject({ stdout: '42\n' });
  });
});
