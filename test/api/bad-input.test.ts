import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type CallAnswer,
  LEGACY_HTTP,
  MODERN_HTTP,
  runPythonBy,
  type StockClient,
  textOf,
} from '../support/mcp-clients.ts';
import { closeSession, type ErrorAnswer, openSession, post, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

const CODE_LIMIT = 10_000;
/** What JSON can say and a JavaScript client cannot. */
const INEXPRESSIBLE = /1e999/;

let server: Server;
let clients: StockClient[];
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_CODE_LIMIT: String(CODE_LIMIT), GLOVEBOX_POOL_SIZE: '1' } });
  const connects = [LEGACY_HTTP[0], LEGACY_HTTP[1], MODERN_HTTP[1]].filter((entry) => entry !== undefined);
  await openSession(server, 'victim');
  clients = await Promise.all(connects.map(([, connect]) => connect(server)));
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
  await server[Symbol.asyncDispose]();
});

interface Refusal {
  code: string;
  message: string;
  hint: string;
}

/** A call of MCP 2026-07-28 as text, so that its arguments are exactly these. */
async function callByHand(tool: string, args: string): Promise<CallAnswer> {
  const version = '2026-07-28';
  const meta = `{"io.modelcontextprotocol/protocolVersion": "${version}", "io.modelcontextprotocol/clientCapabilities": {}}`;
  const body = `{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "${tool}", "arguments": ${args}, "_meta": ${meta}}}`;
  const headers = { 'mcp-protocol-version': version, 'mcp-method': 'tools/call', 'mcp-name': tool };
  const accept = 'application/json, text/event-stream';
  const response = await post(server, '/mcp', body, { headers: { ...headers, accept } });
  const text = (await response.text()).replace(/^event: message\ndata: /, '');
  return (JSON.parse(text) as { result: CallAnswer }).result;
}

/** What REST, MCP by hand and each stock client are told of arguments, given as JSON text. */
async function refusalsOf(args: string, tool = 'execute_python'): Promise<Refusal[]> {
  const body = `{"name": "${tool}", "arguments": ${args}}`;
  const rest = await post(server, '/execute', body);
  const { error } = (await rest.json()) as ErrorAnswer;
  expect(rest.status).toBe({ invalid_input: 400, session_not_found: 404 }[error.code]);
  const stream = await (await post(server, '/execute/stream', body)).text();
  const streamed = stream.replace(/^event: error\ndata: /, '').replace(/^id: .*$/m, '');
  const calls = [callByHand(tool, args)];
  if (!INEXPRESSIBLE.test(args)) calls.push(...clients.map((client) => client.call(tool, JSON.parse(args))));
  const told = (await Promise.all(calls)).map((answer) => {
    expect(answer.isError).toBe(true);
    const refusal = answer._meta?.['glovebox/error'] as Refusal;
    expect(textOf(answer)).toBe(`${refusal.message}\n${refusal.hint}`);
    return refusal;
  });
  return [error, (JSON.parse(streamed) as ErrorAnswer).error, ...told];
}

/** All doors say the same of the fault; each names the next step in its own words. */
async function expectRefused(args: string, code: string, message: RegExp, hint: RegExp, tool?: string) {
  const [first, ...others] = await refusalsOf(args, tool);
  expect(first).toMatchObject({
    code,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  });
  for (const other of others) expect(other).toMatchObject({ code: first?.code, message: first?.message });
  expect(await runPython(server, 'print(1)', { session_id: 'victim' })).toMatchObject({ status: 'ok', stdout: '1\n' });
}

async function listSessions(): Promise<string[]> {
  const response = await fetch(`${server.url}/sessions`);
  const { sessions } = (await response.json()) as { sessions: { session_id: string }[] };
  return sessions.map(({ session_id }) => session_id);
}

const quoted = (text: string) => JSON.stringify(text);
const fields = /^(Did you mean .*)?Arguments of execute_python: code \(string, required\), session_id/;

describe('arguments of execute_python: all doors tell what is wrong and what there is, and the session stays usable', () => {
  test.each<[what: string, args: string, message: RegExp]>([
    ['none', '{}', /needs the argument "code"/],
    ['no code', '{"session_id": "victim", "timeout_s": 1}', /needs the argument "code"/],
    ['code that is a number', '{"code": 5, "session_id": "victim"}', /cannot use "code"/],
    ['code that is null', '{"code": null, "session_id": "victim"}', /cannot use "code"/],
    ['code that is an array', '{"code": ["print(1)"], "session_id": "victim"}', /cannot use "code"/],
    ['code that is an object', '{"code": {"a": 1}, "session_id": "victim"}', /cannot use "code"/],
    ['empty code', '{"code": "", "session_id": "victim"}', /"code": there is no code/],
    ['code of blanks', '{"code": " \\n\\t\\u00a0", "session_id": "victim"}', /"code": there is no code/],
    ['code over the limit', `{"code": "${'#'.repeat(CODE_LIMIT + 1)}"}`, /"code": .* longer than 10000 bytes/],
    ['code over the limit in bytes', `{"code": "#${'€'.repeat(3334)}"}`, /"code": .* longer than 10000 bytes/],
    ['NUL in code', '{"code": "print(1)\\u0000", "session_id": "victim"}', /"code": .* NUL/],
    ['a high surrogate in code', '{"code": "\'\\ud800\'", "session_id": "victim"}', /"code": .* lone surrogate/],
    ['a low surrogate in code', '{"code": "\'\\udc00 \'", "session_id": "victim"}', /"code": .* lone surrogate/],
    ['a reversed pair in code', '{"code": "\'\\udc00\\ud800\'", "session_id": "victim"}', /"code": .* lone surrogate/],
    ['an unknown argument', '{"code": "1", "language": "R"}', /has no argument "language"/],
    ['a misspelled one', '{"code": "1", "sesion_id": "victim"}', /has no argument "sesion_id"/],
    ['one that objects have', '{"code": "1", "constructor": 1, "toString": 1}', /"constructor"; .*"toString"/],
    ['a name of 10 kB', `{"code": "1", "${'n'.repeat(10_000)}": 1}`, /has no argument "n{64}…"/],
    ['stdin that is a number', '{"code": "1", "stdin": 5}', /cannot use "stdin"/],
    [
      'stdin over the limit',
      `{"code": "1", "stdin": "${'x'.repeat(CODE_LIMIT + 1)}"}`,
      /"stdin": .* longer than 10000/,
    ],
    ['a surrogate in stdin', '{"code": "1", "stdin": "\\ud800"}', /"stdin": .* lone surrogate/],
    ['env that is a list without values', '{"code": "1", "env": ["A"]}', /cannot use "env"/],
    ['a variable that is an object', '{"code": "1", "env": {"A": {}}}', /cannot use "env.A"/],
    ['a variable with a bad name', '{"code": "1", "env": {"A=B": "1"}}', /cannot use "env.A=B": a name is .* letters/],
    [
      'a variable with NUL in its name',
      '{"code": "1", "env": {"A\\u0000": "1"}}',
      /cannot use "env.A\\u0000": a name is/,
    ],
    ['a variable without a name', '{"code": "1", "env": {"": "1"}}', /cannot use "env.": a name is/],
    ['NUL in a variable', '{"code": "1", "env": {"A": "\\u0000"}}', /"env.A": .* NUL/],
  ])('%s', async (_what, args, message) => {
    await expectRefused(args, 'invalid_input', message, fields);
  });

  test.each([
    ['negative', '-1'],
    ['zero', '0'],
    ['minus zero', '-0.0'],
    ['over the maximum', '3600.001'],
    ['huge', '1e308'],
    ['beyond every number', '1e999'],
    ['a word', '"five"'],
    ['text with a unit', '"5 s"'],
    ['true', 'true'],
    ['an array', '[5]'],
  ])('a timeout that is %s', async (_what, timeout) => {
    const args = `{"code": "print(1)", "session_id": "victim", "timeout_s": ${timeout}}`;
    await expectRefused(args, 'invalid_input', /cannot use "timeout_s"/, fields);
  });

  test('what has one reading only is read so: null as absent, a number as text, a variable as a number', async () => {
    const args = `{"code": "import os; print(os.environ['A'])", "session_id": "victim", "context": null, "stdin": "", "timeout_s": "5", "env": {"A": 5}}`;
    const body = `{"name": "execute_python", "arguments": ${args}}`;
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${server.url}/execute`, { method: 'POST', headers, body });
    expect(await response.json()).toMatchObject({ session_id: 'victim', result: { stdout: '5\n' } });
  });

  test('a misspelled argument hints at the one that was meant', async () => {
    const [first] = await refusalsOf('{"code": "1", "timeout": 5}');
    expect(first?.hint).toMatch(/^Did you mean "timeout_s"\? /);
  });

  test('the least of what is allowed runs', async () => {
    const args = { session_id: 'victim', timeout_s: 3600, stdin: '', env: {} };
    expect(await runPython(server, '1', args)).toMatchObject({ status: 'ok', stdout: '' });
    const longest = await runPython(server, `print(1)${'#'.repeat(CODE_LIMIT - 8)}`, args);
    expect(longest).toMatchObject({ status: 'ok', stdout: '1\n' });
  });
});

describe('sessions', () => {
  test.each([
    ['a path', '../x'],
    ['an absolute path', '/etc/passwd'],
    ['a dot', '.'],
    ['blanks', '   '],
    ['10 kB long', 'x'.repeat(10_000)],
    ['65 characters long', 'x'.repeat(65)],
    ['with NUL', 'a\0b'],
    ['with a lone surrogate', '\ud800'],
    ['with a line end', 'victim\n'],
    ['with letters of elsewhere', 'sitzüng'],
  ])('an id that is %s is invalid, and makes no session', async (_what, id) => {
    const before = await listSessions();
    const args = `{"code": "print(1)", "session_id": ${quoted(id)}}`;
    await expectRefused(args, 'invalid_input', /neither a session handle nor a valid name/, /session_id that a result/);
    expect(await listSessions()).toEqual(before);
  });

  test.each([
    ['a number', '5'],
    ['a list', '[]'],
    ['an object', '{}'],
  ])('an id that is %s is no id', async (_what, id) => {
    const args = `{"code": "print(1)", "session_id": ${id}}`;
    await expectRefused(args, 'invalid_input', /cannot use "session_id"/, fields);
  });

  test('a handle that never was, one of another server, a closed and an expired one get the same answer', async () => {
    await using other = await startServer({ env: { GLOVEBOX_IDLE_TTL_S: '0.5', GLOVEBOX_POOL_SIZE: '0' } });
    const closed = await openSession(server);
    await closeSession(server, closed);
    const [elsewhere, expired] = [await openSession(other), await openSession(other)];
    const isGone = async () => (await fetch(`${other.url}/sessions/${expired}`)).status;
    await expect.poll(isGone, { timeout: 10_000 }).toBe(404);
    const expiredBody = await (await fetch(`${other.url}/sessions/${expired}`)).text();
    const never = `gbx_${'A'.repeat(24)}`;
    const answers = await Promise.all(
      [never, closed, elsewhere].map(async (id) => {
        const [first, ...others] = await refusalsOf(`{"code": "print(1)", "session_id": "${id}"}`);
        for (const refusal of others) expect(refusal).toMatchObject({ code: first?.code, message: first?.message });
        return JSON.stringify({ error: first }).replaceAll(id, 'ID');
      }),
    );
    expect(new Set([...answers, expiredBody.replaceAll(expired, 'ID')]).size).toBe(1);
    expect(JSON.parse(answers[0] ?? '')).toMatchObject({
      error: {
        code: 'session_not_found',
        hint: 'The session has expired or never existed. GET /sessions lists yours; POST /sessions creates one.',
      },
    });
  });

  test.each(['gbx_', 'gbx_../x', `gbx_${'x'.repeat(10_000)}`, 'gbx_\ud800', 'gbx_\0'])(
    'what begins as a handle is one that is unknown (%#)',
    async (id) => {
      const args = `{"code": "print(1)", "session_id": ${quoted(id)}}`;
      await expectRefused(args, 'session_not_found', /^Unknown or expired session/, /POST \/sessions/);
    },
  );

  test('a bad id in the X-Session-Id header is refused as one in the arguments is', async () => {
    const headers = { 'x-session-id': '../x' };
    const call = { name: 'execute_python', arguments: { code: 'print(1)' } };
    const response = await post(server, '/execute', call, { headers });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as ErrorAnswer;
    expect(error).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('"../x"') });
    for (const [, connect] of [LEGACY_HTTP[0], MODERN_HTTP[1]].filter((entry) => entry !== undefined)) {
      await using client = await connect(server, { headers });
      const answer = await client.call('execute_python', { code: 'print(1)' });
      expect(answer._meta?.['glovebox/error']).toEqual(error);
    }
  });

  test.each([
    '/sessions/..%2Fx',
    `/sessions/${'x'.repeat(8000)}`,
    '/sessions/gbx_nothing',
    '/sessions/%00',
    '/sessions/%ff',
  ])('GET and DELETE of %s name nothing', async (path) => {
    for (const method of ['GET', 'DELETE']) {
      const response = await fetch(server.url + path, { method });
      expect(response.status).toBe(404);
      const { error } = (await response.json()) as ErrorAnswer;
      expect(error.hint).not.toBe('');
    }
  });

  test.each([
    ['a path', { name: '../x' }, '"../x" is not a valid name.'],
    ['a handle', { name: `gbx_${'A'.repeat(24)}` }, 'A name may not begin with "gbx_", as handles do.'],
    ['a number', { name: 5 }, 'The field "name" must be a string.'],
  ])('POST /sessions with a name that is %s makes none', async (_what, body, message) => {
    const response = await post(server, '/sessions', body);
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as ErrorAnswer;
    expect(error).toMatchObject({ code: 'invalid_input', message, hint: expect.stringMatching(/handle/) });
  });
});

test('list_installed_packages takes a session and nothing else', async () => {
  const hint = /^Arguments of list_installed_packages: session_id \(string\)\.$/;
  const tool = 'list_installed_packages';
  await expectRefused('{"verbose": true}', 'invalid_input', /has no argument "verbose"/, hint, tool);
  await expectRefused('{"session_id": 7}', 'invalid_input', /cannot use "session_id"/, hint, tool);
});

test('a stock client is told of an unknown tool, and which there are', async () => {
  for (const client of clients) {
    await expect(client.call('execute_pyton', { code: 'print(1)' })).rejects.toThrow(
      /no tool "execute_pyton"\. Did you mean execute_python\? Tools: execute_python, run_command, install_dependencies, list_installed_packages/,
    );
    expect(await runPythonBy(client, 'print(1)', { session_id: 'victim' })).toMatchObject({ stdout: '1\n' });
  }
});
