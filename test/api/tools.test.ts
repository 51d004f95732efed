import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setSecret } from '../../src/secrets/changes.ts';
import { expectNothingInside, filesWith } from '../support/canary-search.ts';
import { freePort } from '../support/free-port.ts';
import { LEGACY_HTTP, MODERN_HTTP, STDIO, type StockClient, textOf } from '../support/mcp-clients.ts';
import { callTool, type ErrorAnswer, type Execution, post, runPython, streamPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';
import { createParser } from '../support/sse.ts';
import { type RunningToolServer, startToolServer, textResult } from '../support/tool-server.ts';

const SECRET = `canary-${randomBytes(16).toString('hex')}`;
const OF_BOB = `canary-${randomBytes(16).toString('hex')}`;
const ADD = { type: 'object' as const, properties: { a: { type: 'number' }, b: { type: 'number' } }, required: ['a'] };

let upstream: RunningToolServer;
let server: Server;
let alice: string;
let bob: string;
/** Calls of `wait` that run, and how many were aborted. */
let waiting = 0;
let aborted = 0;

/** Servers of the file, as the test has them. */
const servers = (url: string) => ({
  numbers: {
    ...{ url, headers: { Authorization: `Bearer \${secret:KEY}` }, description: 'Sums.', credentials: 'owner' },
    ...{ owners: ['*'], default: true, approve: 'never', max_calls: 50 },
  },
  'for-alice': { url, owners: ['alice'], approve: 'never', description: 'For one only.' },
});

beforeAll(async () => {
  upstream = await startToolServer({
    tools: () => [
      {
        ...{ name: 'add-up', description: 'Adds two numbers.\nSecond line.', inputSchema: ADD },
        outputSchema: { type: 'object', properties: { result: { type: 'number' } } },
        run: ({ a, b }) => ({ content: [], structuredContent: { result: Number(a) + Number(b ?? 0) } }),
      },
      {
        name: 'who',
        run: (_args, { http }) =>
          textResult(http?.req?.headers.get('authorization')?.includes(SECRET) ? 'alice' : 'bob'),
      },
      {
        name: 'wait',
        run: async (_args, { mcpReq }) => {
          waiting += 1;
          await new Promise((resolve) => mcpReq.signal.addEventListener('abort', resolve));
          aborted += 1;
          return textResult('aborted');
        },
      },
      { name: 'echo', run: (_args, { http }) => textResult(`you sent ${http?.req?.headers.get('authorization')}`) },
    ],
  });
  const stateDir = newStateDir();
  const file = join(stateDir, 'tools.json');
  writeFileSync(file, JSON.stringify({ mcpServers: servers(upstream.url) }));
  setSecret({ stateDir }, { name: 'KEY', owner: 'alice' }, SECRET);
  setSecret({ stateDir }, { name: 'KEY', owner: 'bob' }, OF_BOB);
  alice = await newKey(stateDir, 'alice');
  bob = await newKey(stateDir, 'bob');
  server = await startServer({
    stateDir,
    port: await freePort(),
    env: { GLOVEBOX_AUTH: 'keys', GLOVEBOX_TOOLS: file },
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

async function newKey(stateDir: string, name: string): Promise<string> {
  const { code, stdout, stderr } = await runCli(['key', 'new', name], environment(stateDir));
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

const by = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
const run = async (code: string, args: Record<string, unknown> = {}, key = alice) =>
  (await runPython(server, `import tools\n${code}`, args, by(key))) as Execution;
const refusal = async (args: Record<string, unknown>, key = alice) => {
  const response = await post(
    server,
    '/execute',
    { name: 'execute_python', arguments: { code: '1', ...args } },
    by(key),
  );
  return { status: response.status, ...((await response.json()) as ErrorAnswer).error };
};
const ask = async (path: string, key = alice, method = 'GET') =>
  await fetch(`${server.url}${path}`, { method, ...by(key) });

const SUM = 'print(tools.numbers.add_up(a=1, b=2))';

describe('code that calls tools', () => {
  test('gets values over REST, and its result lists the calls without what went in or came out', async () => {
    const result = await run('total = sum(tools.numbers.add_up(a=n, b=n) for n in range(5))\nprint(total)');
    expect(result).toMatchObject({ status: 'ok', stdout: '20\n' });
    expect(result.tool_calls).toHaveLength(5);
    expect(result.tool_calls?.[0]).toEqual({
      ...{ n: 1, tool: 'numbers.add-up', status: 'ok', ms: expect.any(Number), bytes: expect.any(Number) },
    });
  });

  test('is followed by a stream that tells when a call begins and ends', async () => {
    const seen: unknown[] = [];
    for await (const { event, data } of streamPython(server, { code: `import tools\n${SUM}` }, by(alice))) {
      if (event === 'tool_call') seen.push(data);
    }
    expect(seen).toEqual([
      { n: 1, tool: 'numbers.add-up', status: 'begun' },
      { n: 1, tool: 'numbers.add-up', status: 'ok', ms: expect.any(Number) },
    ]);
  });

  test.each([...LEGACY_HTTP, ...MODERN_HTTP])(
    'works over MCP, with instructions of its owner: %s',
    async (name, connect) => {
      await using client: StockClient = await connect(server, by(bob));
      expect(client.instructions()).toContain('- numbers: Sums.');
      expect(client.instructions()).not.toContain('for-alice');
      const messages: (string | undefined)[] = [];
      const onprogress = ({ message }: { message?: string | undefined }) => void messages.push(message);
      const answer = await client.call('execute_python', { code: `import tools\n${SUM}` }, { onprogress });
      expect(answer.structuredContent).toMatchObject({ stdout: '3\n', tool_calls: [{ tool: 'numbers.add-up' }] });
      expect(textOf(answer)).toMatch(/\[tools\] numbers\.add-up ok \(\d+ ms\)/);
      // Over SSE, a client may read the answer before what came ahead of it.
      if (!name.includes('SSE')) expect(messages.join('')).toContain('[tool] numbers.add-up: ok');
      const found = await client.call('search_tools', { query: 'sums add up' });
      expect(textOf(found)).toBe('tools.numbers.add_up(*, a: float, b: float = ...) -> float  # Adds two numbers.');
    },
  );

  test.each(STDIO)('works over stdio: %s', async (_name, connect) => {
    const variables = { GLOVEBOX_TOOLS: join(server.stateDir, 'tools.json') };
    const stateDir = newStateDir();
    setSecret({ stateDir }, { name: 'KEY', owner: 'local' }, SECRET);
    await using client = await connect(stateDir, undefined, variables);
    expect(client.instructions()).toContain('- for-alice (only with tools: ["for-alice"]): For one only.');
    const answer = await client.call('execute_python', { code: `import tools\n${SUM}` });
    expect(answer.structuredContent).toMatchObject({ stdout: '3\n' });
  });

  test('works in a context, in each cell anew', async () => {
    const cell = { context: 'c', session_id: 'cells' };
    expect((await run(SUM, cell)).stdout).toBe('3\n');
    const again = (await runPython(server, SUM, cell, by(alice))) as Execution;
    expect(again).toMatchObject({ stdout: '3\n', tool_calls: [{ n: 1 }] });
    const none = await runPython(
      server,
      `try: ${SUM}\nexcept Exception as error: print(type(error).__name__)`,
      {
        ...{ ...cell, tools: [] },
      },
      by(alice),
    );
    expect(none.stdout).toBe('ToolError\n');
  });

  test('works in the background, also after the server was killed and has come back', async () => {
    const code = `
import os, time
print(tools.numbers.add_up(a=1), flush=True)
while not os.path.exists("/workspace/go"): time.sleep(0.05)
for attempt in range(600):
    try:
        print(tools.numbers.add_up(a=2), flush=True)
        break
    except tools.ToolError: time.sleep(0.05)`;
    const first = server;
    const { execution_id: id } = await run(code, { background: true, session_id: 'jobs' });
    const output = async () => ((await (await ask(`/executions/${id}`)).json()) as Execution).stdout;
    await expect.poll(output).toBe('1\n');
    await first.kill();
    const records = join(first.stateDir, 'instances');
    const kept = readdirSync(records, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith(id));
    expect(JSON.parse(readFileSync(join(records, kept[0] ?? ''), 'utf8')).tools).toMatchObject({
      ...{ hash: expect.any(String), servers: { numbers: expect.any(Number) } },
    });
    const env = { GLOVEBOX_AUTH: 'keys', GLOVEBOX_TOOLS: join(first.stateDir, 'tools.json') };
    server = await startServer({ stateDir: first.stateDir, port: first.port, env });
    await fetch(`${server.url}/sessions/jobs/files/go`, { method: 'PUT', body: 'x', ...by(alice) });
    const ended = (await (await ask(`/executions/${id}?wait_s=40`)).json()) as Execution;
    expect(ended).toMatchObject({
      status: 'ok',
      stdout: '1\n2\n',
      tool_calls: [{ tool: 'numbers.add-up', status: 'ok' }],
    });
  });
});

test('the events of a background execution tell of its calls as they end', async () => {
  const before = waiting;
  const { execution_id: id } = await run('tools.numbers.add_up(a=1)\ntools.numbers.wait()', { background: true });
  await expect.poll(() => waiting).toBe(before + 1);
  const reading = (await (await ask(`/executions/${id}`)).json()) as Execution;
  expect(reading).toMatchObject({ status: 'running', tool_calls: [{ n: 1, tool: 'numbers.add-up', status: 'ok' }] });
  const response = await ask(`/executions/${id}/events`);
  const parser = createParser();
  const seen: [string, unknown][] = [];
  for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    for (const { event, data } of parser.take(text)) {
      if (event === 'tool_call') {
        seen.push([event, JSON.parse(data)]);
        if (seen.length === 1) void ask(`/executions/${id}`, alice, 'DELETE');
      } else if (event === 'result') seen.push([event, (JSON.parse(data) as Execution).status]);
    }
  }
  expect(seen).toEqual([
    ['tool_call', { n: 1, tool: 'numbers.add-up', status: 'ok', ms: expect.any(Number) }],
    ['tool_call', { n: 2, tool: 'numbers.wait', status: 'cancelled', ms: expect.any(Number) }],
    ['result', 'cancelled'],
  ]);
});

describe('servers', () => {
  test('are those of the owner by default, and others by name', async () => {
    expect((await run('print(dir(tools))')).stdout).toContain("'numbers'");
    expect((await run('print(dir(tools))')).stdout).not.toContain('for_alice');
    expect((await run('print(tools.for_alice.add_up(a=4))', { tools: ['for-alice'] })).stdout).toBe('4\n');
    const none = await runPython(
      server,
      'import os; print("GLOVEBOX_TOOLS_TOKEN" in os.environ)',
      { tools: [] },
      by(alice),
    );
    expect(none.stdout).toBe('False\n');
  });

  test('of another owner are answered as ones that there are not', async () => {
    const [foreign, unknown] = [
      await refusal({ tools: ['for-alice'] }, bob),
      await refusal({ tools: ['for-carol'] }, bob),
    ];
    expect(foreign).toMatchObject({ status: 400, code: 'invalid_input', hint: expect.stringContaining('numbers') });
    expect({ ...foreign, message: '' }).toEqual({ ...unknown, message: '', hint: foreign.hint });
    const search = async (name: string) => {
      const body = { name: 'search_tools', arguments: { server: name } };
      const { error } = (await (await post(server, '/execute', body, by(bob))).json()) as ErrorAnswer;
      return { ...error, message: error.message.replace(name, '…') };
    };
    expect(await search('for-alice')).toEqual(await search('for-aline'));
    const found = (await callTool(server, 'search_tools', { detail: 'names' }, by(bob))) as {
      tools: { name: string }[];
    };
    expect(found.tools.map(({ name }) => name)).not.toContain('tools.for_alice.who');
    const code = 'try: tools["for-alice"]\nexcept Exception as error: print(type(error).__name__)';
    expect((await run(code, {}, bob)).stdout).not.toBe('');
  });

  test('are called with the credentials of the owner alone', async () => {
    const [ofAlice, ofBob] = [
      await run('print(tools.numbers.who())'),
      await run('print(tools.numbers.who())', {}, bob),
    ];
    expect([ofAlice.stdout, ofBob.stdout]).toEqual(['alice\n', 'bob\n']);
  });
});

test('too many calls end as limit', async () => {
  const code = `
codes = {}
for n in range(200):
    try: tools.numbers.add_up(a=1); code = "ok"
    except tools.ToolError as error: code = error.code
    codes[code] = codes.get(code, 0) + 1
print(codes)`;
  const result = await run(code);
  expect(result.stdout).toBe("{'ok': 50, 'limit': 150}\n");
  expect(result.tool_calls).toHaveLength(60);
});

test('a call is cancelled at its server when its execution is cancelled', async () => {
  const [before, ended] = [waiting, aborted];
  const { execution_id: id } = await run('tools.numbers.wait()', { background: true });
  await expect.poll(() => waiting).toBe(before + 1);
  expect((await (await ask(`/executions/${id}`, alice, 'DELETE')).json()) as Execution).toMatchObject({
    status: 'cancelled',
  });
  await expect.poll(() => aborted).toBe(ended + 1);
});

test('a call is cancelled at its server when the time of its execution is over, or its session is closed', async () => {
  const [before, ended] = [waiting, aborted];
  expect(await run('tools.numbers.wait()', { timeout_s: 1 })).toMatchObject({ status: 'timeout' });
  await expect.poll(() => aborted).toBe(ended + 1);
  const running = run('tools.numbers.wait()', { session_id: 'closed' }).catch(() => undefined);
  await expect.poll(() => waiting).toBe(before + 2);
  expect((await ask('/sessions/closed', alice, 'DELETE')).status).toBe(204);
  await running;
  await expect.poll(() => aborted).toBe(ended + 2);
});

test('a fork of a session with a running call has no access, and the session has none after it', async () => {
  const before = waiting;
  const code = 'import os\nopen("token", "w").write(os.environ["GLOVEBOX_TOOLS_TOKEN"])\ntools.numbers.wait()';
  const { execution_id: id } = await run(code, { background: true, session_id: 'busy' });
  await expect.poll(() => waiting).toBe(before + 1);
  const forked = (await callTool(server, 'fork_session', { session_id: 'busy' }, by(alice))) as { session_id: string };
  const stolen = `
import os
os.environ["GLOVEBOX_TOOLS_TOKEN"] = open("token").read()
try: print(tools.numbers.add_up(a=1))
except tools.ToolError as error: print(error.code)`;
  expect((await run(stolen, { session_id: forked.session_id, tools: [] })).stdout).toBe('denied\n');
  expect((await run(stolen, { session_id: 'busy', tools: [] })).stdout).toBe('1\n');
  await ask(`/executions/${id}`, alice, 'DELETE');
  expect((await run(stolen, { session_id: 'busy', tools: [] })).stdout).toBe('denied\n');
});

test('the log and the metrics tell of each call, and not what was in it', async () => {
  const { execution_id: id, session_id } = await run('tools.numbers.add_up(a=123456789)');
  const line = server
    .stderr()
    .split('\n')
    .find((text) => text.includes('tool call') && text.includes(id));
  expect(line).toMatch(
    new RegExp(
      `owner=alice session=${session_id} execution=${id} tool=numbers.add-up arguments=[0-9a-f]{64} outcome=ok`,
    ),
  );
  expect(server.stderr()).not.toContain('123456789');
  const metrics = await (await ask('/metrics')).text();
  expect(metrics).toMatch(/glovebox_tool_calls_total\{server="numbers",outcome="ok"\} \d+/);
});

test('nothing of a credential is in a sandbox: in no memory, variable, file, output or archive, and not in the log', async () => {
  const session = { session_id: 'canary' };
  const code = `
import os, sys
said = tools.numbers.echo()
print(said)
open("out", "w").write(said)
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        try: print(open(f"/proc/{pid}/{name}", "rb").read())
        except OSError: pass
tools.numbers.who()`;
  const kept = await run(`kept = [tools.numbers.echo(), tools.numbers.who()]\nprint(kept)`, {
    ...session,
    context: 'c',
  });
  const plain = await run(code, session);
  expect(plain.stdout).toContain('you sent');
  const { execution_id: id } = await run('said = tools.numbers.echo()\ntools.numbers.wait()', {
    ...{ ...session, background: true },
  });
  const seen = [kept.stdout, plain.stdout, plain.stderr].join();
  expect(seen).not.toContain(SECRET);
  expect(seen).not.toContain(SECRET.slice('canary-'.length));

  await expectNothingInside(server, [SECRET], 'you sent');
  await ask(`/executions/${id}`, alice, 'DELETE');

  const archive = await ask('/sessions/canary/archive');
  expect(archive.status).toBe(200);
  expect(Buffer.from(await archive.arrayBuffer()).includes(SECRET)).toBe(false);
  expect(server.stderr()).not.toContain(SECRET);
  expect(filesWith(server.stateDir, SECRET)).toEqual([]);
});
