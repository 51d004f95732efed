import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { runPython } from '../support/rest-client.ts';
import {
  containersOf,
  environment,
  newStateDir,
  runCli,
  type Server,
  seenContainer,
  startServer,
} from '../support/server.ts';
import { TerminalClient } from '../support/terminal-client.ts';

const PATIENCE = { timeout: 90_000 };

interface Opened {
  readonly session: string;
  readonly path: string;
}

async function open(server: Server, headers: Record<string, string> = {}): Promise<Opened> {
  const post = async (path: string): Promise<Record<string, string>> => {
    const response = await fetch(`${server.url}${path}`, { method: 'POST', headers });
    expect(response.status).toBe(201);
    return (await response.json()) as Record<string, string>;
  };
  const { session_id: session = '' } = await post('/sessions');
  const { terminal_id: id } = await post(`/sessions/${session}/terminals`);
  return { session, path: `/sessions/${session}/terminals/${id}` };
}

/** What two calls after each other are told to be lost. */
async function toldTwice(server: Server, { session }: Opened): Promise<unknown[]> {
  const tell = async () => (await runPython(server, '1', { session_id: session })).session_reset;
  return [await tell(), await tell()];
}

/** Number of open terminals by `GET /metrics`. */
async function openTerminals(server: Server): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^glovebox_terminals (\d+)$/m.exec(text)?.[1]);
}

async function list(server: Server, { session }: Opened): Promise<Record<string, unknown>[]> {
  const response = await fetch(`${server.url}/sessions/${session}/terminals`);
  return ((await response.json()) as { terminals: Record<string, unknown>[] }).terminals;
}

/** Status and code of the answer to a request for a WebSocket that becomes none. */
async function refusal(server: Server, path: string, headers: Record<string, string>, protocols: string[] = []) {
  const url = `${server.url.replace('http', 'ws')}${path}/attach`;
  const socket = new WebSocket(url, protocols, { headers });
  const [, response] = await once(socket, 'unexpected-response');
  let body = '';
  for await (const chunk of response) body += chunk;
  return [response.statusCode, JSON.parse(body).error.code];
}

describe('a terminal of a server with keys', () => {
  let server: Server;
  let alice: Record<string, string>;
  let bob: Record<string, string>;
  let terminal: Opened;
  const stateDir = () => server.stateDir;

  const newKey = async (directory: string, name: string) => {
    const { stdout } = await runCli(['key', 'new', name], environment(directory));
    return { authorization: `Bearer ${stdout.trim()}` };
  };

  beforeAll(async () => {
    const directory = newStateDir();
    [alice, bob] = [await newKey(directory, 'alice'), await newKey(directory, 'bob')];
    server = await startServer({ stateDir: directory, env: { GLOVEBOX_AUTH: 'keys', GLOVEBOX_POOL_SIZE: '1' } });
    terminal = await open(server, alice);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('is for its owner alone, who may send the key as a browser does', async () => {
    const { path } = terminal;
    expect(await refusal(server, path, {})).toEqual([401, 'unauthorized']);
    expect(await refusal(server, path, { authorization: 'Bearer gbk_wrong' })).toEqual([401, 'unauthorized']);
    expect(await refusal(server, path, bob)).toEqual([404, 'session_not_found']);
    expect((await fetch(`${server.url}${path}`, { method: 'DELETE', headers: bob })).status).toBe(404);
    expect(await refusal(server, `${path}x`, alice)).toEqual([404, 'terminal_not_found']);
    const key = alice['authorization']?.slice('Bearer '.length) ?? '';
    const protocols = ['glovebox.terminal', `glovebox.key.${Buffer.from(key).toString('base64url')}`];
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}${path}/attach`, protocols);
    await once(socket, 'open');
    expect(socket.protocol).toBe('glovebox.terminal');
    socket.terminate();
    expect(server.stderr()).not.toContain(key);
  });

  test('is not for pages of other origins, whatever key they have', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://localhost.evil.example']) {
      expect(await refusal(server, terminal.path, { ...alice, origin })).toEqual([403, 'forbidden']);
    }
    expect(await refusal(server, terminal.path, { ...alice, host: 'evil.example' })).toEqual([403, 'forbidden']);
    await using own = await TerminalClient.attach(server.url, terminal.path, {
      headers: { ...alice, origin: server.url },
    });
    expect(await own.message('attached')).toMatchObject({ rows: 24 });
  });

  test('is cut off when its key is revoked', PATIENCE, async () => {
    const carol = await newKey(stateDir(), 'carol');
    const { path } = await open(server, carol);
    await using viewer = await TerminalClient.attach(server.url, path, { headers: carol });
    await viewer.message('attached');
    const { stdout } = await runCli(['key', 'list'], environment(stateDir()));
    const id = /^(\S+)\s.*carol/m.exec(stdout)?.[1] ?? /carol\s+(\S+)/.exec(stdout)?.[1] ?? '';
    expect((await runCli(['key', 'revoke', id], environment(stateDir()))).code).toBe(0);
    expect(await viewer.message('closed')).toMatchObject({ code: 4401 });
  });
});

describe('a terminal and the life of its session', () => {
  test(
    'a session with a terminal that somebody looks at stays; without, it hibernates and says that it was lost',
    PATIENCE,
    async () => {
      await using server = await startServer({
        env: { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_HIBERNATE_AFTER_S: '1', GLOVEBOX_IDLE_TTL_S: '3' },
      });
      const opened = await open(server);
      const state = async () => {
        const response = await fetch(`${server.url}/sessions/${opened.session}`);
        return ((await response.json()) as { state: string }).state;
      };
      const viewer = await TerminalClient.attach(server.url, opened.path);
      viewer.type("echo kept > a.txt; for i in 1 2 3 4 5 6; do sleep 1; echo tick-$i; done; echo o''ver\r");
      await viewer.until('over');
      expect(await state()).toBe('active');
      await viewer[Symbol.asyncDispose]();
      await expect.poll(state, { timeout: 30_000 }).toBe('hibernated');
      expect(await list(server, opened)).toMatchObject([{ running: false, exit_code: null, reason: 'hibernated' }]);
      await using late = await TerminalClient.attach(server.url, opened.path);
      expect(await late.message('ended')).toMatchObject({ reason: 'hibernated' });
      expect(late.text).toContain('tick-6');
      const file = await fetch(`${server.url}/sessions/${opened.session}/files/a.txt`);
      expect(await file.text()).toBe('kept\n');
      expect(await toldTwice(server, opened)).toEqual([{ reason: 'hibernated', lost: ['terminals'] }, undefined]);
    },
  );

  test('a terminal that nobody looks at for too long is ended', PATIENCE, async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_TERMINAL_IDLE_S: '2' } });
    const opened = await open(server);
    await expect
      .poll(async () => await list(server, opened), { timeout: 30_000 })
      .toMatchObject([{ running: false, reason: 'idle' }]);
  });

  test(
    'a server that is killed loses its terminals, and the next one says so; the session goes on',
    PATIENCE,
    async () => {
      const env = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_ON_SHUTDOWN: 'keep', GLOVEBOX_INSTANCE: 'terminals' };
      const first = await startServer({ env });
      const opened = await open(first);
      const viewer = await TerminalClient.attach(first.url, opened.path);
      viewer.type('(trap "" HUP TERM; while :; do sleep 1003; done) & echo kept > a.txt; echo kill-me-$((1+1))\r');
      await viewer.until('kill-me-2');
      await first.kill();
      expect(await viewer.message('closed')).toMatchObject({ code: 1006 });
      await using second = await startServer({
        env: { ...env, GLOVEBOX_ON_SHUTDOWN: 'remove' },
        stateDir: first.stateDir,
      });
      expect(await list(second, opened)).toMatchObject([{ running: false, reason: 'server_stopped' }]);
      expect(await refusal(second, opened.path, {})).toEqual([404, 'terminal_not_found']);
      const response = await fetch(`${second.url}${opened.path.replace(/\/[^/]+$/, '')}`, { method: 'POST' });
      const { terminal_id: id } = (await response.json()) as { terminal_id: string };
      expect(await openTerminals(second)).toBe(1);
      expect(await toldTwice(second, opened)).toEqual([{ reason: 'server_stopped', lost: ['terminals'] }, undefined]);
      await using next = await TerminalClient.attach(second.url, opened.path.replace(/[^/]+$/, id));
      next.type('cat a.txt; grep -l "[1]003" /proc/[0-9]*/cmdline 2>/dev/null | wc -l\r');
      await next.until(/kept\r\n0\r\n/);
    },
  );

  test(
    'a terminal that is lost with its container is told in the next result, also by the next server',
    PATIENCE,
    async () => {
      const env = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_ON_SHUTDOWN: 'keep', GLOVEBOX_INSTANCE: 'lost-terminals' };
      const first = await startServer({ env });
      const one = await open(first);
      expect(await openTerminals(first)).toBe(1);
      const removeAll = async () => {
        for (const { Id } of await containersOf(first)) await seenContainer(Id).remove({ force: true });
      };
      const lost = async ({ session }: Opened, server: Server) => {
        const { session_reset: told } = await runPython(server, '1', { session_id: session });
        return told;
      };
      await removeAll();
      expect(await lost(one, first)).toMatchObject({
        reason: 'sandbox_lost',
        lost: expect.arrayContaining(['terminals']),
      });
      await expect.poll(() => openTerminals(first)).toBe(0);
      expect(await lost(one, first)).toBeUndefined();
      const other = await open(first);
      await first.kill();
      await removeAll();
      await using second = await startServer({
        ...{ env: { ...env, GLOVEBOX_ON_SHUTDOWN: 'remove' }, stateDir: first.stateDir },
      });
      const { lost: ofOne } = (await lost(one, second)) ?? {};
      expect(ofOne).not.toContain('terminals');
      expect(await lost(other, second)).toMatchObject({ lost: expect.arrayContaining(['terminals']) });
      expect(await lost(other, second)).toBeUndefined();
    },
  );

  test('a terminal that ended by itself is no loss of its session', PATIENCE, async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
    const opened = await open(server);
    await using viewer = await TerminalClient.attach(server.url, opened.path);
    viewer.type('exit\r');
    await viewer.message('ended');
    expect(await toldTwice(server, opened)).toEqual([undefined, undefined]);
  });
});
