import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LEGACY_HTTP, MODERN_HTTP, runPythonBy, STDIO, type StockClient, textOf } from '../support/mcp-clients.ts';
import { runPython } from '../support/rest-client.ts';
import { runShell, type Server, startServer } from '../support/server.ts';
import { TOOL_NAMES } from '../support/tool-names.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

type Connect = () => Promise<StockClient>;
const HTTP = [...LEGACY_HTTP, ...MODERN_HTTP].map(([name, connect]): [string, Connect] => [
  `${name}, HTTP`.replace('streamable HTTP, HTTP', 'streamable HTTP'),
  () => connect(server),
]);
const BY_STDIO = STDIO.map(([name, connect]): [string, Connect] => [`${name}, stdio`, () => connect()]);

describe.each([...HTTP, ...BY_STDIO])('a stock client (%s)', (_name, connect) => {
  let client: StockClient;
  beforeAll(async () => {
    client = await connect();
  });
  afterAll(async () => {
    await client[Symbol.asyncDispose]();
  });

  test('lists the tools as REST does, with instructions beside them', async () => {
    const listed = await client.list();
    expect(listed.map(({ name }) => name)).toEqual(TOOL_NAMES);
    const { tools } = (await (await fetch(`${server.url}/tools`)).json()) as { tools: object[] };
    expect(listed).toMatchObject(tools);
    expect(client.instructions()).toContain('session_id');
  });

  test('may send null, empty text and numbers as text for optional arguments', async () => {
    const nothing = { context: null, background: '', stdin: null, env: '', session_id: null };
    const answer = await client.call('execute_python', { code: 'print(1)', timeout_s: '20', ...nothing });
    expect(answer.structuredContent).toMatchObject({ status: 'ok', stdout: '1\n' });
  });

  test('runs Python; the text says all that the structure does', async () => {
    const code = 'import sys; print("to stdout"); print("to stderr", file=sys.stderr); open("f.txt", "w").write("123")';
    const answer = await client.call('execute_python', { code });
    const structured = answer.structuredContent as Record<string, unknown>;
    expect(answer.isError ?? false).toBe(false);
    expect(structured).toMatchObject({
      status: 'ok',
      exit_code: 0,
      stdout: 'to stdout\n',
      stderr: 'to stderr\n',
      files: [{ path: 'f.txt', size: 3 }],
    });
    const text = textOf(answer);
    for (const said of [
      'to stdout',
      '[stderr]\nto stderr',
      'f.txt (3 bytes)',
      '[ok] exit code 0',
      structured['session_id'],
    ])
      expect(text).toContain(said);
  });

  test('lists the packages; the text names each of them', async () => {
    const answer = await client.call('list_installed_packages', {});
    const { packages } = answer.structuredContent as { packages: { name: string; version: string }[] };
    expect(packages.length).toBeGreaterThan(0);
    for (const { name, version } of packages) expect(textOf(answer)).toContain(`${name} ${version}`);
  });

  test('gets a Python error as a result, and bad input as an error that says what to do', async () => {
    const failed = await client.call('execute_python', { code: '{}["who"]' });
    expect(failed.isError ?? false).toBe(false);
    expect(failed.structuredContent).toMatchObject({ status: 'error', exit_code: 1, error: { name: 'KeyError' } });
    expect(textOf(failed)).toContain("KeyError: 'who'");
    const refused = await client.call('execute_python', { kode: 'print(1)' });
    expect(refused.isError).toBe(true);
    expect(textOf(refused)).toMatch(/no argument "kode".*\nDid you mean "code"\?/);
  });

  test('hears output while the program runs, in order', async () => {
    let heard = '';
    const waiting = new Map(['first', 'second'].map((word) => [word, Promise.withResolvers<void>()]));
    const { session_id } = await runPythonBy(client, 'pass');
    const code = [
      'import os, time',
      'for word in ("first", "second"):',
      '    print(word)',
      '    while not os.path.exists(word): time.sleep(0.01)',
    ].join('\n');
    const onprogress = ({ message = '' }: { message?: string | undefined }) => {
      heard += message;
      for (const [word, { resolve }] of waiting) if (heard.includes(word)) resolve();
    };
    const call = runPythonBy(client, code, { session_id, timeout_s: 10 }, { onprogress });
    // The program goes on only by what is done after its output was heard.
    for (const [word, { promise }] of waiting) {
      await Promise.race([promise, call]);
      await runPythonBy(client, `open("${word}", "w")`, { session_id });
    }
    expect(await call).toMatchObject({ status: 'ok', stdout: 'first\nsecond\n' });
    expect(heard).toMatch(/first\nsecond\n/);
  });
});

describe.each(LEGACY_HTTP)('the session of a client of the older protocols (%s)', (_name, connect) => {
  test('goes on from call to call without being named; a second client has one of its own', async () => {
    await using one = await connect(server);
    await using other = await connect(server);
    const first = await runPythonBy(one, 'open("mine", "w"); print("x")');
    expect(first.session_created).toBe(true);
    const second = await runPythonBy(one, 'import os; print(os.listdir())');
    expect(second).toMatchObject({ session_id: first.session_id, stdout: "['mine']\n" });
    expect(second).not.toHaveProperty('session_created');
    const foreign = await runPythonBy(other, 'import os; print(os.listdir())');
    expect(foreign).toMatchObject({ session_created: true, stdout: '[]\n' });
    expect(foreign.session_id).not.toBe(first.session_id);
  });

  test('that it names for one call stays its own for the next', async () => {
    await using one = await connect(server);
    await using other = await connect(server);
    const own = await runPythonBy(one, 'pass');
    const named = await runPythonBy(other, 'pass');
    expect((await runPythonBy(one, 'pass', { session_id: named.session_id })).session_id).toBe(named.session_id);
    expect((await runPythonBy(one, 'pass')).session_id).toBe(own.session_id);
  });
});

describe.each(MODERN_HTTP)('the session of a client of the newest protocol (%s)', (_name, connect) => {
  test('is the default one, as over REST, for calls that name none where no keys are asked for', async () => {
    await using client = await connect(server);
    const first = await runPythonBy(client, 'open("mine", "w")');
    const second = await runPythonBy(client, 'import os; print(os.path.exists("mine"))');
    expect(second).toMatchObject({ session_id: 'default', stdout: 'True\n' });
    expect(first.session_id).toBe('default');
  });

  test('is a new one for each call that names none, if so configured, and goes on by its id', async () => {
    await using fresh = await startServer({ env: { GLOVEBOX_DEFAULT_SESSION: 'new' } });
    await using client = await connect(fresh);
    const first = await runPythonBy(client, 'open("mine", "w")');
    const second = await runPythonBy(client, 'print(open("mine").read())');
    expect(second).toMatchObject({ session_created: true, error: { name: 'FileNotFoundError' } });
    expect(second.error?.hint).toMatch(/is new and empty: .* pass the session_id/);
    expect(second.session_id).not.toBe(first.session_id);
    const third = await runPythonBy(client, 'import os; print(os.listdir())', { session_id: first.session_id });
    expect(third).toMatchObject({ session_id: first.session_id, stdout: "['mine']\n" });
    expect(third).not.toHaveProperty('session_created');
  });
});

describe.each(STDIO)('the session of a stdio process (%s)', (_name, connect) => {
  test('goes on from call to call without being named', async () => {
    await using client = await connect();
    const first = await runPythonBy(client, 'open("mine", "w")');
    const second = await runPythonBy(client, 'import os; print(os.listdir())');
    expect(second).toMatchObject({ session_id: first.session_id, stdout: "['mine']\n" });
  });
});

describe('one session', () => {
  test.each([...LEGACY_HTTP, ...MODERN_HTTP])(
    'is named by the X-Session-Id header too (%s)',
    async (_name, connect) => {
      const { session_id } = await runPython(server, 'open("mark", "w").write("seen")', { session_id: 'by-header' });
      await using client = await connect(server, { headers: { 'X-Session-Id': session_id } });
      expect(await runPythonBy(client, 'print(open("mark").read())')).toMatchObject({ session_id, stdout: 'seen\n' });
      const named = await runPythonBy(client, 'pass', { session_id: 'by-argument' });
      expect(named.session_id).toBe('by-argument');
    },
  );

  test.each([...LEGACY_HTTP, ...MODERN_HTTP])(
    'is pinned by the address that a client is configured with (%s)',
    async (_name, connect) => {
      const { session_id } = await runPython(server, 'open("mark", "w").write("seen")', { session_id: 'by-address' });
      await using client = await connect(server, { query: '?session=by-address' });
      for (const argument of [{}, { session_id }])
        expect(await runPythonBy(client, 'print(open("mark").read())', argument)).toMatchObject({
          session_id,
          stdout: 'seen\n',
        });
      const refused = runPythonBy(client, 'pass', { session_id: 'by-argument' });
      await expect(refused).rejects.toThrow(
        /names the session "by-address", but the argument session_id names "by-argument"/,
      );
    },
  );

  test('goes from a v1 client to a v2 client of either era, over SSE, to REST', async () => {
    const append = 'open("trail", "a").write("x"); print(open("trail").read())';
    let id: string | undefined;
    let trail = '';
    for (const [, connect] of [...LEGACY_HTTP, ...MODERN_HTTP]) {
      await using client = await connect(server);
      const { session_id, stdout } = await runPythonBy(client, append, id === undefined ? {} : { session_id: id });
      id ??= session_id;
      trail += 'x';
      expect({ session_id, stdout }).toEqual({ session_id: id, stdout: `${trail}\n` });
    }
    expect((await runPython(server, append, { session_id: id })).stdout).toBe(`${trail}x\n`);
  });
});

test('a client lists its sessions, deletes a file and closes a session, by tools', async () => {
  const connect = MODERN_HTTP[0]?.[1];
  if (!connect) throw new Error('There is no client.');
  await using client = await connect(server);
  const session_id = 'to-close';
  await runPythonBy(client, 'import os; os.mkdir("d"); open("d/f", "w"); open("g", "w")', { session_id });
  const listed = await client.call('list_sessions', {});
  expect(listed.structuredContent?.['sessions']).toContainEqual(expect.objectContaining({ session_id, running: 0 }));
  expect(textOf(listed)).toContain('to-close (active)');
  expect(textOf(await client.call('delete_file', { session_id, path: 'g' }))).toContain('[deleted] g');
  expect(await client.call('delete_file', { session_id, path: 'd' })).toMatchObject({ isError: true });
  await client.call('delete_file', { session_id, path: 'd', recursive: true });
  expect((await runPythonBy(client, 'import os; print(os.listdir())', { session_id })).stdout).toBe('[]\n');
  expect((await client.call('close_session', { session_id })).structuredContent).toEqual({ session_id, closed: true });
  const again = await client.call('close_session', { session_id });
  expect(again).toMatchObject({ isError: true, _meta: { 'glovebox/error': { code: 'session_not_found' } } });
});

describe('what a model reads before its first call', () => {
  test('the descriptions of the tools and the instructions stay under 1 000 tokens', async () => {
    const connect = LEGACY_HTTP[0]?.[1];
    if (!connect) throw new Error('There is no client.');
    await using client = await connect(server);
    const tools = await client.list();
    const characters = [client.instructions() ?? '', ...tools.map(({ description }) => description ?? '')].join(
      '\n',
    ).length;
    const whole = JSON.stringify(
      tools.map(({ name, description, inputSchema }) => ({ name, description, inputSchema })),
    );
    process.stderr.write(
      `Descriptions and instructions: ${characters} characters, about ${Math.round(characters / 4)} tokens; with names and input schemas about ${Math.round((whole.length + (client.instructions() ?? '').length) / 4)}.\n`,
    );
    expect(characters).toBeLessThan(4000);
    for (const word of ['persist', 'network', 'timeout_s', 'MB', 'session_id', 'session_reset', 'minutes'])
      expect(`${client.instructions()} ${tools[0]?.description}`).toContain(word);
  });
});

describe('curl', () => {
  test.each(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'])(
    'initializes a session of %s',
    async (version) => {
      const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"${version}","capabilities":{},"clientInfo":{"name":"curl","version":"8"}}}`;
      const { stdout } = await runShell(
        `curl -sS -i -X POST ${server.url}/mcp -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '${body}'`,
      );
      expect(stdout).toMatch(/^HTTP\/1\.1 200 /);
      expect(stdout).toMatch(/^mcp-session-id: [\w-]+/im);
      const result = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { result: Record<string, unknown> };
      expect(result.result).toMatchObject({ protocolVersion: version, serverInfo: { name: 'glovebox' } });
      expect(result.result['instructions']).toContain('Glovebox');
    },
  );
});
