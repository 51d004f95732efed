import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sendRaw } from '../support/raw-request.ts';
import { runPython } from '../support/rest-client.ts';
import { residentMib, runShell, type Server, startServer } from '../support/server.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_CODE_LIMIT: '10000', GLOVEBOX_POOL_SIZE: '0' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const json = { 'content-type': 'application/json' };
const mcp = { ...json, accept: 'application/json, text/event-stream' };
const CALL = '{"name": "execute_python", "arguments": {"code": "print(1)"}}';
const HUGE = 4 * 1024 * 1024;
/** What a client sends that never stops by itself; a test must. */
const ENDLESS = 256 * 1024 * 1024;

const expectStillServing = async () =>
  expect(await runPython(server, 'print(1)')).toMatchObject({ status: 'ok', stdout: '1\n' });

describe.each(['/execute', '/execute/stream'])('POST %s', (path) => {
  test.each<[what: string, body: string | Buffer, message: RegExp]>([
    ['nothing', '', /no body/],
    ['no JSON', '{"name": "execute_python",', /not valid JSON: it ends too early, at position 26/],
    ['NaN', `{"name": "execute_python", "arguments": {"code": "1", "timeout_s": NaN}}`, /not valid JSON/],
    ['Infinity', `{"name": "execute_python", "arguments": {"code": "1", "timeout_s": -Infinity}}`, /not valid JSON/],
    ['a raw NUL', '{"name": "execute_python", "arguments": {"code": "\0"}}', /not valid JSON/],
    ['two values', `${CALL} ${CALL}`, /not valid JSON/],
    ['no UTF-8', Buffer.from('{"name": "\xff\xfe"}', 'latin1'), /not valid UTF-8/],
    ['an array', '[]', /is an array, not an object/],
    ['null', 'null', /is null, not an object/],
    ['a string', '"execute_python"', /is a string, not an object/],
    ['an unknown field', `{"name": "execute_python", "args": {"code": "1"}}`, /no field "args"/],
    ['a field twice', `{"name": "execute_python", "name": "list_installed_packages"}`, /"name" is there twice/],
    ['no tool', '{"arguments": {"code": "print(1)"}}', /"name" must be the name of a tool/],
    ['a tool that is a number', '{"name": 1}', /"name" must be the name of a tool/],
    ['arguments that are an array', '{"name": "execute_python", "arguments": []}', /not an array/],
    ['arguments that are text', `{"name": "execute_python", "arguments": "print(1)"}`, /not a string/],
    ['arguments that are null', `{"name": "execute_python", "arguments": null}`, /needs the argument "code"/],
    [
      'an argument __proto__',
      `{"name": "execute_python", "arguments": {"code": "1", "__proto__": {}}}`,
      /no argument "__proto__"/,
    ],
    ['brackets without end', '['.repeat(100_000), /nested more than 64 levels/],
    ['brackets closed at last', `${'['.repeat(50_000)}${']'.repeat(50_000)}`, /.+/],
  ])('with %s is invalid_input, and says what to send', async (_what, body, message) => {
    const answer = await sendRaw(server.port, path, { method: 'POST', headers: json, body });
    expect(answer.status).toBe(400);
    expect(answer.json().error).toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/\w/),
    });
    await expectStillServing();
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
  ])('as %s is unsupported_media_type, and says which type to send', async (type) => {
    const answer = await sendRaw(server.port, path, { method: 'POST', headers: { 'content-type': type }, body: CALL });
    expect(answer.status).toBe(415);
    expect(answer.json().error).toMatchObject({
      code: 'unsupported_media_type',
      hint: expect.stringContaining('Content-Type: application/json'),
    });
  });

  test('compressed is unsupported_media_type, and says that encodings are not taken', async () => {
    const headers = { ...json, 'content-encoding': 'gzip' };
    const answer = await sendRaw(server.port, path, { method: 'POST', headers, body: gzipSync(CALL) });
    expect(answer.status).toBe(415);
    expect(answer.json().error).toMatchObject({
      code: 'unsupported_media_type',
      message: 'The body has the encoding "gzip".',
      hint: expect.stringContaining('without the header Content-Encoding'),
    });
  });

  test('for an unknown tool is not_found, with the nearest and all that there are', async () => {
    const body = CALL.replace('execute_python', 'execute_pyton');
    const answer = await sendRaw(server.port, path, { method: 'POST', headers: json, body });
    expect(answer.status).toBe(404);
    expect(answer.json().error).toEqual({
      code: 'not_found',
      message: 'There is no tool "execute_pyton".',
      hint: expect.stringMatching(
        /^Did you mean "execute_python"\? Tools: execute_python, run_command, install_dependencies, list_installed_packages, /,
      ),
    });
  });
});

describe.each(['/execute', '/execute/stream', '/mcp', '/sessions', '/messages'])('a body too large for %s', (path) => {
  test('is payload_too_large as soon as its length is declared, and the connection is not to be used again', async () => {
    const headers = { ...mcp, 'content-length': String(HUGE) };
    const answer = await sendRaw(server.port, path, { method: 'POST', headers, body: '' });
    expect(answer.status).toBe(413);
    expect(answer.json()).toMatchObject({ error: { code: 'payload_too_large', hint: expect.any(String) } });
    // The rest of the body would be taken for the next request.
    expect(answer.headers.connection).toBe('close');
    await expectStillServing();
  });

  test('is payload_too_large to curl, which goes on sending', async () => {
    const curl = `head -c ${10 * HUGE} /dev/zero | curl -sS -o /dev/null -w '%{http_code}' -H 'Content-Type: application/json'`;
    expect(await runShell(`${curl} --data-binary @- ${server.url}${path}`)).toMatchObject({
      stdout: '413',
      stderr: '',
    });
  });

  test('is payload_too_large when it comes in pieces of unknown length, and is neither gathered nor read to its end', async () => {
    const before = residentMib(server.pid);
    const piece = new Uint8Array(65_536).fill(32);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await setImmediate();
        if (sent >= ENDLESS) controller.close();
        else controller.enqueue(piece);
        sent += piece.length;
      },
    });
    const abort = new AbortController();
    const init = { method: 'POST', headers: mcp, body, duplex: 'half', signal: abort.signal } as const;
    const response = await fetch(server.url + path, init);
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: 'payload_too_large', hint: expect.any(String) } });
    abort.abort();
    expect(sent).toBeLessThan(ENDLESS);
    expect(residentMib(server.pid) - before).toBeLessThan(80);
    await expectStillServing();
  });
});

describe('POST /mcp', () => {
  test.each<[what: string, body: string, status: number]>([
    ['no JSON', '{"jsonrpc":', 400],
    ['no JSON-RPC', '{"hello": 1}', 400],
    ['nothing', '', 400],
    ['a call without a session', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}', 400],
    ['brackets without end', '['.repeat(100_000), 400],
  ])('with %s is refused with a JSON-RPC error', async (_what, body, status) => {
    const answer = await sendRaw(server.port, '/mcp', { method: 'POST', headers: mcp, body });
    expect(answer.status).toBe(status);
    expect(answer.json()).toMatchObject({ jsonrpc: '2.0', error: { code: expect.any(Number), message: /\w/ } });
    await expectStillServing();
  });

  test('with a session that never was is told to initialize anew', async () => {
    const headers = { ...mcp, 'mcp-session-id': 'none' };
    const body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
    const answer = await sendRaw(server.port, '/mcp', { method: 'POST', headers, body });
    expect(answer.status).toBe(404);
    expect(answer.json()).toMatchObject({ error: { message: expect.stringContaining('initialize') } });
  });
});

describe('paths and methods', () => {
  test.each(['/execut', '/health/', '/tools/x', '/../etc/passwd', '/%2e%2e/x', '/%', '/é', '//'])(
    'there is nothing at %s, and the answer says where to look',
    async (path) => {
      const answer = await sendRaw(server.port, encodeURI(path).replaceAll('%25', '%'), {});
      expect(answer.status).toBe(404);
      expect(answer.json().error).toMatchObject({ code: 'not_found', hint: expect.stringContaining('GET /') });
    },
  );

  test.each([
    ['GET', '/execute', 'POST'],
    ['PUT', '/sessions', 'POST, GET, HEAD'],
    ['POST', '/health', 'GET, HEAD'],
  ])('%s %s says which methods there are', async (method, path, allow) => {
    const answer = await sendRaw(server.port, path, { method, headers: json });
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe(allow);
    expect(answer.json().error.hint).toContain(allow);
  });
});
