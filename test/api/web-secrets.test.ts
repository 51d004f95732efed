import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server as SecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { expectNothingInside, filesWith } from '../support/canary-search.ts';
import { makeCertificate } from '../support/certificate.ts';
import { runCommand } from '../support/command.ts';
import { LEGACY_HTTP, MODERN_HTTP } from '../support/mcp-clients.ts';
import { type Execution, runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

const PATIENCE = { timeout: 120_000 };
/** Named nowhere in NO_PROXY, and of this machine alone. */
const ADDRESS = '127.0.0.2';
/** In the memory of code that has an echo. */
const CONTROL = 'this-code-has-an-echo';
const canary = () => `canary-${randomBytes(16).toString('hex')}`;
const OF_ALICE = canary();
const OF_BOB = canary();
const SHARED = canary();
const ROTATED = canary();
const CANARIES = [OF_ALICE, OF_BOB, SHARED, ROTATED];
/** What of them would be found, whatever they were written in. */
const TRACES = CANARIES.flatMap((text) => [
  text.slice('canary-'.length, 24),
  Buffer.from(text).toString('hex').slice(20, 40),
  ...[0, 1, 2].map((before) =>
    Buffer.from(`${'x'.repeat(before)}${text}`)
      .toString('base64')
      .slice(16, 32),
  ),
]);

let host: SecureServer;
let port: number;
let server: Server;
let stateDir: string;
let keyFile: string;
let alice: string;
let bob: string;
/** Authorization of each request, by its path. */
const sent: { path: string; authorization: string | undefined; key: string | null }[] = [];

beforeAll(async () => {
  stateDir = newStateDir();
  const folder = mkdtempSync(join(inject('stateRoot'), 'web-secrets-'));
  const { cert, key } = makeCertificate([`IP:${ADDRESS}`]);
  writeFileSync(join(folder, 'ca.pem'), cert);
  keyFile = join(folder, 'secrets.key');
  host = createServer({ cert, key }, echo);
  host.listen(0, ADDRESS);
  await once(host, 'listening');
  ({ port } = host.address() as AddressInfo);
  alice = await newKey('alice');
  bob = await newKey('bob');
  await bind('TOKEN', OF_ALICE, '--owner', 'alice');
  await bind('TOKEN', OF_BOB, '--owner', 'bob');
  await bind('APP', SHARED, '--query', 'app_key');
  server = await startServer({
    stateDir,
    env: {
      GLOVEBOX_AUTH: 'keys',
      GLOVEBOX_EGRESS: `${ADDRESS}:${port}`,
      GLOVEBOX_EGRESS_PRIVATE: ADDRESS,
      GLOVEBOX_LOG_LEVEL: 'debug',
      GLOVEBOX_SECRETS_KEY_FILE: keyFile,
      SSL_CERT_FILE: join(folder, 'ca.pem'),
    },
  });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  host.closeAllConnections();
  await new Promise((resolve) => void host.close(resolve));
});

/** Repeats all that it was sent, in the way that the path names. */
function echo(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', `https://${ADDRESS}`);
  sent.push({
    path: url.pathname,
    authorization: request.headers.authorization,
    key: url.searchParams.get('app_key'),
  });
  const said = JSON.stringify({ url: request.url, headers: request.headers });
  const encoded = Buffer.from(said).toString('base64');
  switch (url.pathname) {
    case '/json':
      response.end(said);
      break;
    case '/encoded':
      response.end(`${encoded}\n${Buffer.from(said).toString('hex')}\n${encodeURIComponent(said)}`);
      break;
    case '/compressed':
      response.setHeader('Content-Encoding', 'gzip').end(gzipSync(said));
      break;
    case '/pieces':
      for (const letter of said) response.write(letter);
      response.end();
      break;
    case '/error':
      response.writeHead(401, `No: ${request.headers.authorization}`, { 'X-Said': encodeURIComponent(said) }).end(said);
      break;
    case '/redirect':
      response.writeHead(302, { Location: `https://${ADDRESS}:${port}/json?again=${encodeURIComponent(said)}` }).end();
      break;
    default:
      response.end('ok');
  }
}

async function newKey(name: string): Promise<string> {
  const { code, stdout, stderr } = await runCli(['key', 'new', name], environment(stateDir));
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

async function bind(name: string, value: string, ...options: string[]): Promise<void> {
  const args = ['secret', 'set', name, ...options, '--for', `${ADDRESS}:${port}`];
  const env = environment(stateDir, { GLOVEBOX_SECRETS_KEY_FILE: keyFile });
  expect(await runCommand(args, { env, stdin: `${value}\n` })).toMatchObject({ code: 0 });
}

const by = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
const PATHS = ['/json', '/encoded', '/compressed', '/pieces', '/error', '/redirect'];
/** Code that asks for all echoes, and keeps them. */
const ASK = () => `
import urllib.request, urllib.error
def get(path):
    request = urllib.request.Request("http://${ADDRESS}:${port}" + path, headers={"Authorization": "Bearer mine", "Range": "bytes=0-40"})
    try:
        with urllib.request.urlopen(request) as answer: return [answer.status, str(answer.headers), answer.read().decode("latin1")]
    except urllib.error.HTTPError as error: return [error.code, error.reason, str(error.headers), error.read().decode("latin1"), str(error)]
echoes = [get(path) for path in ${JSON.stringify(PATHS)}] + ["${CONTROL.slice(0, 5)}" + "${CONTROL.slice(5)}"]
`;
const LOOK = `
import os
print(echoes)
open("echoes.txt", "w").write(str(echoes))
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try: print(open(f"/proc/{pid}/{name}", "rb").read())
        except OSError: pass
`;

const ask = async (path: string, key = alice, method = 'GET') =>
  await fetch(`${server.url}${path}`, { method, ...by(key) });

function expectNoTrace(text: string): void {
  for (const trace of TRACES) expect(text).not.toContain(trace);
}

describe('secrets that are added to requests of code', () => {
  test('reach the host, by owner, and nothing of them is in a sandbox', PATIENCE, async () => {
    const session = { session_id: 'canary' };
    const kept = (await runPython(server, ASK(), { ...session, context: 'c' }, by(alice))) as Execution;
    expect(kept).toMatchObject({ status: 'ok' });
    const plain = (await runPython(server, ASK() + LOOK, session, by(alice))) as Execution;
    expect(plain).toMatchObject({ status: 'ok' });
    expect(plain.stdout).toContain('[secret TOKEN]');
    expect(plain.stdout).toContain('[secret APP]');
    for (const path of [...PATHS, '/json'])
      expect(sent).toContainEqual({ path, authorization: `Bearer ${OF_ALICE}`, key: SHARED });
    expect(sent.some(({ authorization }) => authorization === 'Bearer mine')).toBe(false);
    const failed = (await runPython(server, `${ASK()}raise ValueError(echoes)`, session, by(alice))) as Execution;
    expect(failed.status).toBe('error');
    expectNoTrace(JSON.stringify([kept, plain, failed]));

    const { execution_id: id } = (await runPython(
      server,
      `${ASK()}import time\nprint(echoes, flush=True)\ntime.sleep(600)`,
      { ...session, background: true },
      by(alice),
    )) as Execution;
    const output = async () => await (await ask(`/executions/${id}`)).text();
    await expect.poll(output).toContain(CONTROL);
    expectNoTrace(await output());
    await expectNothingInside(server, [...CANARIES, ...TRACES], CONTROL);
    await ask(`/executions/${id}`, alice, 'DELETE');

    const archive = await ask('/sessions/canary/archive');
    expect(archive.status).toBe(200);
    expectNoTrace(Buffer.from(await archive.arrayBuffer()).toString('latin1'));
  });

  test('are told of to models, by the addresses that get them', PATIENCE, async () => {
    for (const [name, connect] of [...LEGACY_HTTP, ...MODERN_HTTP]) {
      await using client = await connect(server, by(alice));
      const said = `requests that begin with http://${ADDRESS}:${port}: write these with http://`;
      expect(client.instructions(), name).toContain(said);
    }
  });

  test('of two owners are never shared, and who has none gets none', PATIENCE, async () => {
    sent.length = 0;
    const ofBob = (await runPython(server, `${ASK()}print(echoes)`, {}, by(bob))) as Execution;
    expect(ofBob).toMatchObject({ status: 'ok' });
    expect(sent.length).toBeGreaterThan(PATHS.length - 1);
    for (const { authorization, key } of sent) expect([authorization, key]).toEqual([`Bearer ${OF_BOB}`, SHARED]);
    expectNoTrace(JSON.stringify(ofBob));
  });

  test('are replaced without a restart, while code asks on and on', PATIENCE, async () => {
    const code = `${ASK()}
while True: get("/more")`;
    const { execution_id: id } = (await runPython(server, code, { background: true }, by(alice))) as Execution;
    const isSent = (value: string) => () =>
      sent.some(({ path, authorization }) => path === '/more' && authorization === `Bearer ${value}`);
    await expect.poll(isSent(OF_ALICE)).toBe(true);
    await bind('TOKEN', ROTATED, '--owner', 'alice');
    await expect.poll(isSent(ROTATED)).toBe(true);
    sent.length = 0;
    await expect.poll(isSent(ROTATED)).toBe(true);
    expect(isSent(OF_ALICE)()).toBe(false);
    await ask(`/executions/${id}`, alice, 'DELETE');
  });

  test('are in no log, metric, list or file of the server', PATIENCE, async () => {
    const told = await Promise.all(
      ['/metrics', '/executions', '/sessions', '/server'].map(async (path) => await (await ask(path)).text()),
    );
    expect(told.join('')).toContain('glovebox_web_requests_total');
    expect(server.stderr()).toContain('TOKEN');
    expectNoTrace(told.join('') + server.stderr());
    for (const text of [...CANARIES, ...TRACES]) expect(filesWith(stateDir, text)).toEqual([]);
  });
});
