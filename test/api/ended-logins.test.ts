import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeSigner, type Signer, startIssuer } from '../support/issuer.ts';
import { startJoined } from '../support/joined-servers.ts';
import { post, runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';
import { createParser } from '../support/sse.ts';
import { TerminalClient } from '../support/terminal-client.ts';

const SETUP_MS = 120_000;
const LONG = 'import time; time.sleep(60)';

const stateDir = newStateDir();
let issuer: Awaited<ReturnType<typeof startIssuer>>;
let signer: Signer;
let server: Server;

beforeAll(async () => {
  issuer = await startIssuer();
  signer = await makeSigner('first');
  issuer.publish(signer);
  await keyCommand('new', 'nobody');
  const env = { GLOVEBOX_AUTH: 'keys,jwt', GLOVEBOX_JWT_ISSUER: issuer.issuer, GLOVEBOX_POOL_SIZE: '1' };
  server = await startServer({ stateDir, env });
}, SETUP_MS);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await issuer[Symbol.asyncDispose]();
});

async function keyCommand(...words: string[]): Promise<string> {
  return await keyCommandIn(stateDir, ...words);
}

async function keyCommandIn(directory: string, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await runCli(['key', ...words], environment(directory));
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

const bearer = (sent: string) => ({ headers: { authorization: `Bearer ${sent}` } });

/** A token of the provider. One that has expired half a minute ago is valid: clocks may differ. */
async function tokenOf(sub: string, secondsLeft: number): Promise<string> {
  const exp = Math.floor(Date.now() / 1000) - 30 + secondsLeft;
  return await signer.sign({ iss: issuer.issuer, aud: server.url, sub, exp, scope: 'glovebox:run' });
}

/** The last event of a stream, and whether the stream was broken off after it. */
async function lastEventOf({ body }: Response) {
  const parser = createParser();
  const decoder = new TextDecoder();
  const events = [];
  try {
    for await (const piece of body ?? []) events.push(...parser.take(decoder.decode(piece, { stream: true })));
  } catch {
    return { ...events.at(-1), isBroken: true };
  }
  return { ...events.at(-1), isBroken: false };
}

/** Opens all that stays open, as one caller. Resolves when it is open, with how it ends. */
async function openAll(caller: ReturnType<typeof bearer>, session: string) {
  const background = { code: LONG, session_id: session, background: true };
  const { execution_id: id } = await runPython(server, LONG, background, caller);
  const opened = await post(server, `/sessions/${session}/terminals`, {}, caller);
  const path = opened.headers.get('location') ?? '';
  const terminal = await TerminalClient.attach(server.url, path, caller);
  const call = { name: 'execute_python', session_id: session, arguments: { code: LONG } };
  const streams = {
    'the events of an execution': await fetch(`${server.url}/executions/${id}/events`, caller),
    'a call that is streamed': await post(server, '/execute/stream', call, caller),
    'the stream of MCP': await fetch(`${server.url}/sse`, caller),
  };
  for (const [name, { status }] of Object.entries(streams)) expect(status, name).toBe(200);
  const ends = Object.entries(streams).map(async ([name, stream]) => [name, await lastEventOf(stream)] as const);
  return { id, terminal, ends: Promise.all(ends) };
}

describe.each([
  [
    'a token that expires',
    // All must be open before its end, on a busy machine.
    async () => ({ caller: bearer(await tokenOf('alice', 12)), end: async () => {} }),
  ],
  [
    'a key that is revoked',
    async () => {
      const caller = bearer(await keyCommand('new', 'alice'));
      const id = (await keyCommand('list')).match(/alice\.\w+/)?.[0] ?? '';
      return { caller, end: async () => void (await keyCommand('revoke', id)) };
    },
  ],
])('with %s', (_name, begin) => {
  test('terminals and streams end and say so, and what was begun in the background goes on', async () => {
    const { caller, end } = await begin();
    const session = `of-${_name.replaceAll(' ', '-')}`;
    const { id, terminal, ends } = await openAll(caller, session);
    await using viewer = terminal;
    await end();
    expect(await viewer.message('closed')).toMatchObject({
      code: 4401,
      reason: 'the key or token is no longer valid',
    });
    for (const [name, { event, data = '{}' }] of await ends) {
      expect(event, name).toBe('error');
      expect(JSON.parse(data), name).toMatchObject({ error: { code: 'unauthorized', hint: expect.any(String) } });
    }
    expect((await fetch(`${server.url}/sessions`, caller)).status).toBe(401);
    const again = bearer(await tokenOf('alice', 600));
    const reading = await (await fetch(`${server.url}/executions/${id}`, again)).json();
    expect(reading).toMatchObject({ status: 'running' });
    const listed = await (await fetch(`${server.url}/sessions/${session}/terminals`, again)).json();
    expect(listed).toMatchObject({ terminals: [{ running: true }] });
    await fetch(`${server.url}/sessions/${session}`, { method: 'DELETE', ...again });
  });
});

test(
  'a terminal and a stream of a session that another server holds end and say so',
  async () => {
    const states = [newStateDir(), newStateDir()] as const;
    const [key] = [await keyCommandIn(states[0], 'new', 'alice'), await keyCommandIn(states[1], 'new', 'nobody')];
    const settings = { GLOVEBOX_AUTH: 'keys', GLOVEBOX_POOL_SIZE: '0' };
    await using servers = await startJoined([environment(states[0], settings), environment(states[1], settings)]);
    servers.holders.set('alice', 'theirs', servers.two.member);
    const caller = bearer(key);
    await post(servers.one, '/sessions', { name: 'theirs' }, caller);
    const opened = await post(servers.one, '/sessions/theirs/terminals', {}, caller);
    const path = opened.headers.get('location') ?? '';
    await using terminal = await TerminalClient.attach(servers.one.url, path, caller);
    const call = { name: 'execute_python', session_id: 'theirs', arguments: { code: LONG } };
    const stream = await post(servers.one, '/execute/stream', call, caller);
    const last = lastEventOf(stream);
    const [id = ''] = (await keyCommandIn(states[0], 'list')).match(/alice\.\w+/) ?? [];
    await keyCommandIn(states[0], 'revoke', id);
    expect(await terminal.message('closed')).toMatchObject({
      code: 4401,
      reason: 'the key or token is no longer valid',
    });
    expect(await last).toMatchObject({ event: 'error', data: expect.stringContaining('unauthorized') });
  },
  SETUP_MS,
);
