import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LEGACY_HTTP, MODERN_HTTP, runPythonBy } from '../support/mcp-clients.ts';
import { closeSession, openSession, post } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

let server: Server;

beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const sessionsOf = async () =>
  ((await (await fetch(`${server.url}/sessions`)).json()) as { sessions: unknown[] }).sessions.length;
const addressOf = (session: string, path: string) =>
  `glovebox://sessions/${session}/files/${path.split('/').map(encodeURIComponent).join('/')}`;

describe.each([...LEGACY_HTTP, ...MODERN_HTTP])('resources of a stock client (%s)', (_name, connect) => {
  test('say text/plain of text whose name tells no type, and nothing of the kind of other bytes', async () => {
    const session = await openSession(server);
    await using client = await connect(server, { headers: { 'X-Session-Id': session } });
    await runPythonBy(client, 'open("Makefile", "w").write("all:"); open("core", "wb").write(b"\\xff")');
    expect(await client.read(addressOf(session, 'Makefile'))).toMatchObject([{ mimeType: 'text/plain', text: 'all:' }]);
    expect(await client.read(addressOf(session, 'core'))).toMatchObject([
      { mimeType: 'application/octet-stream', blob: '/w==' },
    ]);
    await closeSession(server, session);
  });

  test('are the files of its session, as text or as what they are', async () => {
    const session = await openSession(server);
    await using client = await connect(server, { headers: { 'X-Session-Id': session } });
    expect(await client.templates()).toEqual(['glovebox://sessions/{session_id}/files/{+path}']);
    await runPythonBy(
      client,
      'import os; os.mkdir("d"); open("d/é 1.txt", "w").write("text"); open("p.png", "wb").write(b"\\xff\\xfe")',
    );
    const listed = await client.resources();
    expect(listed).toMatchObject([
      { uri: addressOf(session, 'd/é 1.txt'), name: 'd/é 1.txt', mimeType: 'text/plain', size: 4 },
      { uri: addressOf(session, 'p.png'), name: 'p.png', mimeType: 'image/png', size: 2 },
    ]);
    expect(await client.read(addressOf(session, 'd/é 1.txt'))).toMatchObject([
      { mimeType: 'text/plain', text: 'text' },
    ]);
    expect(await client.read(addressOf(session, 'p.png'))).toMatchObject([{ mimeType: 'image/png', blob: '//4=' }]);
    await closeSession(server, session);
  });

  test('are never made by looking for them', async () => {
    await using client = await connect(server);
    const before = await sessionsOf();
    await client.resources();
    for (const session of ['gbx_unknown', 'unknown-name'])
      await expect(client.read(addressOf(session, 'x'))).rejects.toThrow(/not found/i);
    expect(await sessionsOf()).toBe(before);
  });

  test('that are none say why', async () => {
    const session = await openSession(server);
    await using client = await connect(server, { headers: { 'X-Session-Id': session } });
    await runPythonBy(
      client,
      'import os; open("large", "wb").truncate(2 << 20); os.mkdir("folder"); os.mkfifo("fifo")',
    );
    await expect(client.read(addressOf(session, 'nothing'))).rejects.toThrow(/not found/i);
    await expect(client.read('glovebox://elsewhere/x')).rejects.toThrow(/not found/i);
    await expect(client.read(addressOf(session, 'folder'))).rejects.toThrow('folder');
    await expect(client.read(addressOf(session, 'fifo'))).rejects.toThrow('not a regular file');
    await expect(client.read(`glovebox://sessions/${session}/files/..%2F..%2Fetc%2Fpasswd`)).rejects.toThrow('".."');
    await expect(client.read(addressOf(session, 'large'))).rejects.toThrow('1048576');
    await closeSession(server, session);
  });
});

test('a client that has named no session sees the files of all that are its own', async () => {
  const connect = MODERN_HTTP[0]?.[1];
  if (!connect) throw new Error('There is no client.');
  await using client = await connect(server);
  const sessions = await Promise.all([openSession(server), openSession(server)]);
  for (const session of sessions)
    await fetch(`${server.url}/sessions/${session}/files/x`, { method: 'PUT', body: session });
  const resources = await client.resources();
  const uris = resources.map(({ uri }) => uri);
  expect(uris).toEqual(expect.arrayContaining(sessions.map((session) => addressOf(session, 'x'))));
  const titles = resources.map(({ title }) => title);
  expect(titles).toEqual(expect.arrayContaining(sessions.map((session) => `x (session ${session})`)));
});

test('listing resources woke sessions at rest', async () => {
  const connect = MODERN_HTTP[0]?.[1];
  if (!connect) throw new Error('There is no client.');
  const awake = await openSession(server);
  await fetch(`${server.url}/sessions/${awake}/files/x`, { method: 'PUT', body: 'text' });
  // Nobody has used a fork yet, so it is at rest.
  const fork = (await (await post(server, `/sessions/${awake}/fork`, '')).json()) as { session_id: string };
  const rested = fork.session_id;
  const describeRested = async () => await (await fetch(`${server.url}/sessions/${rested}`)).json();
  await using all = await connect(server);
  await using one = await connect(server, { headers: { 'X-Session-Id': rested } });
  const uris = (await all.resources()).map(({ uri }) => uri);
  expect(uris).toContain(addressOf(awake, 'x'));
  expect(uris).not.toContain(addressOf(rested, 'x'));
  expect(await one.resources()).toEqual([]);
  expect(await describeRested()).toMatchObject({ state: 'hibernated' });
  expect(await one.read(addressOf(rested, 'x'))).toMatchObject([{ text: 'text' }]);
  expect(await one.resources()).toMatchObject([{ uri: addressOf(rested, 'x') }]);
});
