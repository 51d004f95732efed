import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectEngine, findEngine } from './connect.ts';
import type { EngineEndpoint, EngineEnvironment } from './endpoints.ts';
import { sshCommand } from './ssh.ts';

let directory: string;
let servers: { close(): unknown }[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gbx-connect-'));
});

afterEach(() => {
  for (const server of servers) server.close();
  servers = [];
  rmSync(directory, { recursive: true });
});

function environment(docker: Partial<EngineEnvironment['docker']> = {}): { hostEnvironment: EngineEnvironment } {
  return { hostEnvironment: { docker: { tlsVerify: false, configDir: directory, ...docker }, home: directory } };
}

async function listen(name: string, answer: RequestListener = (_, response) => response.end('OK')) {
  const server: Server = createServer(answer);
  const path = join(directory, name);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  servers.push(server, { close: () => server.closeAllConnections() });
  return { address: `unix://${path}`, source: path };
}

function writeContext(name: string, host: string): void {
  const folder = join(directory, 'contexts', 'meta', createHash('sha256').update(name).digest('hex'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'meta.json'), JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }));
}

function missing(name: string): EngineEndpoint {
  return { address: `unix://${join(directory, name)}`, source: name };
}

test('takes the first engine that answers when none is named', async () => {
  const there = await listen('second.sock');
  const found = await connectEngine(environment(), { endpoints: [missing('first.sock'), there] });
  expect(found).toMatchObject(there);
});

test('says undefined, or how to install one, when there is none', async () => {
  const search = { endpoints: [missing('a.sock'), missing('b.sock')] };
  expect(await findEngine(environment(), search)).toBeUndefined();
  await expect(connectEngine(environment(), search)).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: 'No container engine answers on this machine.',
  });
});

test('never takes another engine than the one that DOCKER_HOST names', async () => {
  const other = await listen('other.sock');
  const { address } = missing('named.sock');
  await expect(findEngine(environment({ host: address }), { endpoints: [other] })).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: expect.stringContaining(`${address} (from DOCKER_HOST)`),
    hint: expect.stringContaining('DOCKER_HOST'),
  });
});

test('refuses an engine that is too old, and says which would do', async () => {
  const answer =
    (api: string): RequestListener =>
    (_, response) =>
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ Version: '19.03', ApiVersion: api }));
  const old = await listen('old.sock', answer('1.40'));
  await expect(findEngine(environment({ host: old.address }))).rejects.toMatchObject({
    code: 'engine_unavailable',
    message: `The container engine at ${old.address} is too old: 19.03, with API 1.40.`,
    hint: expect.stringContaining('Docker 20.10'),
  });
  await expect(findEngine(environment(), { endpoints: [old] })).rejects.toThrow('too old');
  const recent = await listen('recent.sock', answer('1.41'));
  expect(await findEngine(environment({ host: recent.address }))).toMatchObject({ address: recent.address });
});

test('gives up on an engine that accepts and says nothing', async () => {
  const silent = await listen('silent.sock', () => {});
  const started = performance.now();
  await expect(findEngine(environment({ host: silent.address }), { deadlineMs: 200 })).rejects.toThrow(
    'the request timed out',
  );
  expect(performance.now() - started).toBeLessThan(2000);
});

test('uses the context of DOCKER_CONTEXT, or else the current one, but DOCKER_HOST before both', async () => {
  const [one, two, three] = await Promise.all([listen('1.sock'), listen('2.sock'), listen('3.sock')]);
  writeContext('one', one.address);
  writeContext('two', two.address);
  writeFileSync(join(directory, 'config.json'), JSON.stringify({ currentContext: 'one' }));
  expect(await connectEngine(environment())).toMatchObject({
    address: one.address,
    source: 'the Docker context "one"',
  });
  expect(await connectEngine(environment({ context: 'two' }))).toMatchObject({ address: two.address });
  const named = environment({ context: 'two', host: three.address });
  expect(await connectEngine(named)).toMatchObject({ address: three.address, source: 'DOCKER_HOST' });
});

test('refuses a context that is not defined', async () => {
  await expect(findEngine(environment({ context: 'nonesuch' }))).rejects.toMatchObject({
    message: expect.stringContaining('"nonesuch" is not defined'),
    hint: expect.stringContaining('docker context ls'),
  });
});

test('speaks TLS to a tcp address when DOCKER_TLS_VERIFY is set', async () => {
  const greeting = new Promise<number | undefined>((resolve) => {
    const server = createSecureServer((socket) => {
      socket.once('data', (data: Buffer) => {
        resolve(data[0]);
        socket.destroy();
      });
    });
    servers.push(server);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' ? address?.port : undefined;
      findEngine(environment({ host: `tcp://127.0.0.1:${port}`, tlsVerify: true })).catch(() => {});
    });
  });
  // The type of a TLS handshake record.
  expect(await greeting).toBe(0x16);
});

test('an address without a scheme is a tcp one, and an unknown scheme is an error', async () => {
  await expect(findEngine(environment({ host: '127.0.0.1:9' }))).rejects.toThrow('tcp://127.0.0.1:9');
  await expect(findEngine(environment({ host: 'fd://' }))).rejects.toMatchObject({ code: 'engine_unavailable' });
});

test('an ssh address becomes what the Docker CLI runs, and no option can be smuggled into it', () => {
  const command = sshCommand(new URL('ssh://me@build-host:2222'));
  expect(command.join(' ')).toBe(
    'ssh -T -o BatchMode=yes -o ConnectTimeout=10 -l me -p 2222 -- build-host docker system dial-stdio',
  );
  expect(sshCommand(new URL('ssh://-oProxyCommand=x/')).indexOf('--')).toBeLessThan(7);
});

test('a request to an engine does not write out what the open connections hold', async () => {
  const { address } = await listen('open.sock', (_, response) => response.end('{}'));
  const found = await findEngine(environment({ host: address }));
  const written = vi.fn(() => 'all of it');
  Object.assign(found && Reflect.get(found.docker.modem, 'agent').sockets, { open: [{ [inspect.custom]: written }] });
  await found?.docker.info();
  expect(written).not.toHaveBeenCalled();
});
