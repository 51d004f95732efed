import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import type Docker from 'dockerode';
import { beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { buildControlImage } from '../../src/engines/docker/images/control-image.ts';
import { runCommand } from '../../src/lib/run-command.ts';
import { version } from '../../src/version.ts';
import { freePort } from '../support/free-port.ts';
import { connectCommand, runPythonBy } from '../support/mcp-clients.ts';
import { runPython } from '../support/rest-client.ts';
import { engine, runShell, withDeadline } from '../support/server.ts';

const BUILD_LIMIT_MS = 20 * 60_000;
const TEST_LIMIT_MS = 240_000;
const START_LIMIT_MS = 120_000;
const SOCKET = '/var/run/docker.sock';
const HEALTH = ['node', '/app/dist/commands/health-check.js'];

const socket = inject('engineAddress').replace(/^unix:\/\//, '');
const group = String(statSync(socket).gid);
const [line = ''] =
  /^docker run -d .*glovebox$/m.exec(readFileSync(new URL('../../README.md', import.meta.url), 'utf8')) ?? [];
let image: string;

beforeAll(async () => {
  const { controlBase: base, hostEnvironment } = loadConfig();
  const say = (step: string) => void process.stderr.write(`${step}\n`);
  image = (await buildControlImage(engine(), { base, setup: 'auto', hostEnvironment, version }, say)).reference;
}, BUILD_LIMIT_MS);

/** The container of README's line with these options more, on this engine, by this build; removed when the test ends. */
async function runLine(ports: Readonly<Record<number, number>>, ...options: string[]): Promise<Docker.Container> {
  const publish = Object.entries(ports).map(([inside, outside]) => `-p 127.0.0.1:${outside}:${inside}`);
  const name = `gbxtest-${randomBytes(4).toString('hex')}`;
  const words = [`docker run -d --name ${name}`, ...publish, '-e GLOVEBOX_IMAGE=slim', ...options];
  const own = line
    .replace('docker run -d', words.join(' '))
    .replace(' -p 8055:8055', '')
    .replace(`-v ${SOCKET}:`, `-v ${socket}:`)
    .replace(/glovebox$/, image);
  // By name, for one that could not be started is there as well.
  const container = engine().getContainer(name);
  onTestFinished(async () => {
    await container.stop().catch(() => undefined);
    await container.remove({ force: true });
  }, 60_000);
  const { code, stderr } = await runShell(`DOCKER_HOST=${inject('engineAddress')} ${own}`);
  expect(code, stderr).toBe(0);
  return container;
}

/** What the container has said, as soon as it has said so many times that it serves. */
async function untilServing(container: Docker.Container, times = 1): Promise<string> {
  const logs = await container.logs({ follow: true, stdout: true, stderr: true });
  let said = '';
  const told = (async () => {
    for await (const chunk of logs as NodeJS.ReadableStream) {
      said += chunk;
      if ((said.match(/serves on .*\n/g)?.length ?? 0) >= times) return;
    }
    throw new Error(`It ended:\n${said}`);
  })();
  await withDeadline(told, START_LIMIT_MS, () => `It does not serve:\n${said}`);
  (logs as NodeJS.ReadableStream & { destroy(): void }).destroy();
  return said;
}

const execute = async ({ id }: Docker.Container, ...args: string[]) =>
  await runCommand('docker', ['exec', id, ...args]);
const labelOf = async (container: Docker.Container) =>
  `http-8000@${(await execute(container, 'cat', '/var/lib/glovebox/id')).stdout}`;

test('`docker run -d -p 8055:8055 -v /var/run/docker.sock:/var/run/docker.sock glovebox` serves over HTTP on 8055 and 8000, reachable from the host, with a key that it made and prints', {
  timeout: TEST_LIMIT_MS,
}, async () => {
  expect(line).toBe(`docker run -d -p 8055:8055 -v ${SOCKET}:${SOCKET} glovebox`);
  const [one, two] = [await freePort(), await freePort()];
  const container = await runLine({ 8055: one, 8000: two });
  const said = await untilServing(container);
  const [key = ''] = /gbk_[\w-]+/.exec(said) ?? [];
  const headers = { authorization: `Bearer ${key}` };
  for (const [inside, outside] of [
    ['8055', one],
    ['8000', two],
  ] as const) {
    const url = `http://localhost:${outside}`;
    expect(said).toContain(`http://localhost:${inside}`);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await fetch(`${url}/sessions`)).status).toBe(401);
    expect(await runPython({ url: `http://127.0.0.1:${outside}` }, 'print(6 * 7)', {}, { headers })).toMatchObject({
      stdout: '42\n',
    });
  }
  expect(said).toContain('Sandboxes are ');
  const [, page = ''] = /Page: +(\S+)/.exec(said) ?? [];
  expect(page).toBe('http://localhost:8055/');
  const html = await fetch(page.replace(':8055', `:${one}`), { headers: { accept: 'text/html' } });
  expect([html.status, await html.text()]).toEqual([200, expect.stringContaining('<title>')]);
  expect(said).toContain(
    `claude mcp add --transport http glovebox http://localhost:8055/mcp --header "Authorization: Bearer ${key}"`,
  );
  const [use = ''] = /curl .*/.exec(said) ?? [];
  expect((await runShell(`${use.replace(':8055', `:${one}`)} -sS --fail`)).stdout).toContain('"default"');

  expect(await execute(container, ...HEALTH)).toMatchObject({ code: 0, stdout: expect.stringContaining('8055') });
  const status = (await execute(container, 'cat', '/proc/1/status')).stdout;
  expect(status).toMatch(/^Uid:(\s+65532){4}$/m);
  expect(status).toMatch(/^CapEff:\s+0+$/m);
  expect(status).toMatch(new RegExp(`^Groups:\\s+${group}\\s*$`, 'm'));
  await using client = await connectCommand(['docker', 'exec', '-i', container.id, 'glovebox', 'stdio']);
  expect(await runPythonBy(client, 'print(6 * 7)')).toMatchObject({ stdout: '42\n' });
  const made = (await execute(container, 'glovebox', 'key', 'new', 'alice')).stdout.trim();
  expect((await fetch(`http://localhost:${one}/sessions`, { headers: { 'x-api-key': made } })).status).toBe(200);

  const label = [`glovebox.instance=${await labelOf(container)}`];
  await container.restart();
  expect(new Set((await untilServing(container, 2)).match(/gbk_[\w-]+/g))).toEqual(new Set([key]));
  expect((await fetch(`http://localhost:${one}/sessions`, { headers })).status).toBe(200);
  await container.stop();
  expect(await engine().listContainers({ all: true, filters: { label } })).toEqual([]);
});

test('is never healthy while nobody can reach it, and asks for no key where GLOVEBOX_AUTH says so', {
  timeout: TEST_LIMIT_MS,
}, async () => {
  const port = await freePort();
  const container = await runLine(
    { 8055: port },
    '-e GLOVEBOX_AUTH=none -e GLOVEBOX_POOL_SIZE=0 -e GLOVEBOX_HOST=127.0.0.1',
  );
  expect(await untilServing(container)).not.toContain('gbk_');
  await expect(fetch(`http://localhost:${port}/health`)).rejects.toThrow('fetch failed');
  const unreachable = await execute(container, ...HEALTH);
  expect(unreachable).toMatchObject({ code: 1, stdout: expect.stringContaining('GLOVEBOX_HOST') });
  const { Config } = await container.inspect();
  expect(Config.Healthcheck?.Test).toEqual(['CMD', ...HEALTH]);

  const alone = await runLine({}, '-e GLOVEBOX_AUTH=none -e GLOVEBOX_POOL_SIZE=0 --network none');
  await untilServing(alone);
  expect(await execute(alone, ...HEALTH)).toMatchObject({ code: 1, stdout: expect.stringContaining('no network') });
  const other = await freePort();
  const open = await runLine({ 9000: other }, '-e GLOVEBOX_AUTH=none -e GLOVEBOX_PORT=9000');
  await untilServing(open);
  expect(await runPython({ url: `http://localhost:${other}` }, 'print(1)')).toMatchObject({ stdout: '1\n' });
  expect(await execute(open, ...HEALTH)).toMatchObject({ code: 0 });
});

describe('finds the socket’s group by itself or ends with the one flag that is missing', () => {
  const mount = ['-v', `${socket}:${SOCKET}`];
  test.each([
    ['no socket', [], `-v ${SOCKET}:${SOCKET}`],
    ['a folder in its place', ['-v', `/usr:${SOCKET}:ro`], 'does not answer: that is a folder'],
    ['a user out of its group', [...mount, '--user', '65532:65532'], `add --group-add ${group} to "docker run"`],
    ['a root without rights', [...mount, '--cap-drop', 'ALL', '--group-add', group], 'Add --user 65532:65532 to'],
    ['neither', [...mount, '--cap-drop', 'ALL'], `Add --user 65532:65532 --group-add ${group} to`],
    [
      'a port that is none',
      [...mount, '-e', 'GLOVEBOX_ALSO_PORTS=8055,x'],
      'GLOVEBOX_ALSO_PORTS is "8055,x": not numbers',
    ],
  ])('%s', async (_what, options, expected) => {
    const { code, stderr } = await runCommand('docker', ['run', '--rm', '--network=none', ...options, image]);
    expect(code).toBe(1);
    expect(stderr).toContain(expected);
    expect(stderr).not.toContain('gbk_');
  });
});

test('the image holds a bill of the packages that run in it', { timeout: TEST_LIMIT_MS }, async () => {
  const { code, stdout } = await runShell(
    `DOCKER_HOST=${inject('engineAddress')} docker run --rm --entrypoint cat ${image} /app/sbom.cdx.json`,
  );
  expect(code).toBe(0);
  const { dependencies } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const names = JSON.parse(stdout).components.map(({ name }: { name: string }) => name);
  expect(names).toEqual(expect.arrayContaining(Object.keys(dependencies)));
  expect(names).not.toContain('vitest');
});
