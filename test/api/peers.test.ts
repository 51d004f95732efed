import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type JoinedServers, startJoined } from '../support/joined-servers.ts';
import { environment, newStateDir } from '../support/server.ts';
import { TerminalClient } from '../support/terminal-client.ts';

const BIG_MB = 200;
const SETTINGS = { GLOVEBOX_AUTH: 'none', GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_DISK_MB: '500', GLOVEBOX_MEMORY_MB: '900' };

let servers: JoinedServers;
/** URL of the server that the session is not held by. */
let url: string;
beforeAll(async () => {
  const env = () => environment(newStateDir(), SETTINGS);
  servers = await startJoined([env(), env()]);
  servers.holders.set('local', 'theirs', servers.two.member);
  url = servers.one.url;
});
afterAll(async () => {
  await servers?.[Symbol.asyncDispose]();
});

async function run(code: string, at = url) {
  const body = JSON.stringify({ name: 'execute_python', arguments: { code, session_id: 'theirs' } });
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${at}/execute`, { method: 'POST', headers, body });
  return (await answer.json()) as { result: { stdout: string } };
}

async function sessionsAt(at: string): Promise<unknown[]> {
  const { sessions } = (await (await fetch(`${at}/sessions`)).json()) as { sessions: unknown[] };
  return sessions;
}

/** Random data of which the hash is known, piece by piece. */
function big() {
  const hash = createHash('sha256');
  const piece = randomBytes(2 ** 20);
  async function* pieces() {
    for (let at = 0; at < BIG_MB; at += 1) {
      piece.writeUInt32BE(at);
      const copy = Buffer.from(piece);
      hash.update(copy);
      yield copy;
    }
  }
  return { body: Readable.toWeb(Readable.from(pieces())) as ReadableStream, digest: () => hash.digest('hex') };
}

describe('a session that another server holds', () => {
  test('runs code there', async () => {
    expect(await run('print(6 * 7)')).toMatchObject({ result: { stdout: '42\n' } });
    expect(await run('print(6 * 7)', servers.two.url)).toMatchObject({ result: { stdout: '42\n' } });
    expect(await sessionsAt(url)).toMatchObject([{ session_id: 'theirs', owner: 'local' }]);
  });

  test(`takes and gives files of ${BIG_MB} MB`, async () => {
    const { body, digest } = big();
    const path = `${url}/sessions/theirs/files/big.bin`;
    const put = await fetch(path, { method: 'PUT', body, duplex: 'half' } as RequestInit);
    expect([put.status, await put.json()]).toMatchObject([201, { size: BIG_MB * 2 ** 20 }]);
    const expected = digest();
    const code = "import hashlib; print(hashlib.file_digest(open('big.bin', 'rb'), 'sha256').hexdigest())";
    expect((await run(code)).result.stdout.trim()).toBe(expected);
    const got = await fetch(path);
    const hash = createHash('sha256');
    for await (const piece of got.body ?? []) hash.update(piece);
    expect(hash.digest('hex')).toBe(expected);
    const part = await fetch(path, { headers: { range: 'bytes=0-3' } });
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([206, Buffer.alloc(4)]);
    expect((await fetch(path, { method: 'DELETE' })).status).toBe(204);
  }, 180_000);

  test('refuses a file that is too large before it is sent', async () => {
    const headers = { 'content-length': String(2 ** 40), expect: '100-continue' };
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const sent = request(`${url}/sessions/theirs/files/huge.bin`, { method: 'PUT', headers });
      sent.on('continue', () => reject(new Error('it may be sent')));
      sent.on('response', (answer) => resolve(answer.resume().statusCode));
      sent.on('error', reject);
      sent.flushHeaders();
    });
    expect(status).toBe(413);
  });

  test('streams output as it comes', async () => {
    const code = "import time\nprint('first', flush=True)\ntime.sleep(30)";
    const body = JSON.stringify({ name: 'execute_python', arguments: { code, session_id: 'theirs' } });
    const headers = { 'content-type': 'application/json', 'idempotency-key': 'stream' };
    const answer = await fetch(`${url}/execute/stream`, { method: 'POST', headers, body });
    let text = '';
    for await (const piece of answer.body ?? []) {
      text += Buffer.from(piece).toString();
      if (!text.includes('first')) continue;
      if (!text.includes('event: result')) await fetch(`${url}/execute/stream`, { method: 'DELETE', headers });
    }
    expect(text).toContain('"status":"cancelled"');
  });

  test('ends code whose client goes away', async () => {
    const code = "import time\nopen('begun', 'w').close()\ntime.sleep(600)";
    const body = JSON.stringify({ name: 'execute_python', arguments: { code, session_id: 'theirs' } });
    const abort = new AbortController();
    const headers = { 'content-type': 'application/json' };
    const sent = fetch(`${url}/execute`, { method: 'POST', headers, body, signal: abort.signal });
    sent.catch(() => {});
    await expect.poll(async () => (await fetch(`${url}/sessions/theirs/files/begun`)).status).toBe(200);
    abort.abort();
    const running = async () => {
      const { running: count } = (await (await fetch(`${url}/sessions/theirs`)).json()) as { running: number };
      return count;
    };
    await expect.poll(running).toBe(0);
  });

  test('has terminals', async () => {
    const headers = { 'content-type': 'application/json' };
    const opened = await fetch(`${url}/sessions/theirs/terminals`, { method: 'POST', headers, body: '{}' });
    expect(opened.status).toBe(201);
    await using terminal = await TerminalClient.attach(url, opened.headers.get('location') ?? '');
    terminal.type('echo $((6 * 7))\n');
    await terminal.until(/\r42/);
    terminal.type('exit\n');
    await terminal.message('ended');
  });

  test('has background executions, which any server finds', async () => {
    const body = JSON.stringify({
      name: 'execute_python',
      arguments: { code: 'print(1)', session_id: 'theirs', background: true },
    });
    const headers = { 'content-type': 'application/json' };
    const begun = await fetch(`${url}/execute`, { method: 'POST', headers, body });
    const { result } = (await begun.json()) as { result: { execution_id: string } };
    for (const at of [url, servers.two.url]) {
      const answer = await fetch(`${at}/executions/${result.execution_id}?wait_s=20`);
      expect(await answer.json()).toMatchObject({ status: 'ok', stdout: '1\n' });
    }
    const unknown = await fetch(`${url}/executions/exe_aaaaaaaaaaaa`);
    expect(unknown.status).toBe(404);
  });

  test.each(['/execute', '/execute/stream'])(
    'runs a call of %s elsewhere that waited there for its turn when that server stopped',
    async (path) => {
      const env = (more: Record<string, string> = {}) => environment(newStateDir(), { ...SETTINGS, ...more });
      await using joined = await startJoined([env(), env({ GLOVEBOX_MAX_EXECUTIONS: '1' })]);
      const { one, two, holders } = joined;
      for (const session of ['busy', 'moves']) holders.set('local', session, two.member);
      const headers = { 'content-type': 'application/json' };
      const send = (at: string, session_id: string, code: string) => {
        const body = JSON.stringify({ name: 'execute_python', arguments: { code, session_id, timeout_s: 600 } });
        return fetch(`${one.url}${at}`, { method: 'POST', headers, body });
      };
      const busy = send('/execute', 'busy', "open('begun', 'w').close()\nimport time\ntime.sleep(600)");
      await expect.poll(async () => (await fetch(`${one.url}/sessions/busy/files/begun`)).status).toBe(200);
      const waiting = send(path, 'moves', 'print(6 * 7)');
      const metrics = async () => await (await fetch(`${two.url}/metrics`)).text();
      await expect.poll(metrics).toMatch(/^glovebox_executions_waiting 1$/m);
      holders.set('local', 'moves', one.member);
      await two[Symbol.asyncDispose]();
      expect(await (await waiting).text()).toContain('"stdout":"42\\n"');
      await busy;
    },
    60_000,
  );

  test('is closed there', async () => {
    expect((await fetch(`${url}/sessions/theirs`, { method: 'DELETE' })).status).toBe(204);
    expect(await sessionsAt(servers.two.url)).toEqual([]);
  });
});
