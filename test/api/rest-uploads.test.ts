import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type RawRequest, sendRaw } from '../support/raw-request.ts';
import { callTool, isSecondTry, openSession, runPython } from '../support/rest-client.ts';
import { runShell, type Server, startServer } from '../support/server.ts';

let server: Server;
let session: string;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
  session = await openSession(server, 'uploads');
});
beforeEach(async ({ task }) => {
  if (isSecondTry(task)) session = await openSession(server);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const at = (path: string, id = session) => `/sessions/${id}/files/${path}`;
const send = async (method: string, path: string, headers: Record<string, string> = {}, body?: RawRequest['body']) =>
  await sendRaw(server.port, path, { method, headers, ...(body === undefined ? {} : { body }) });
const put = async (path: string, body: string, headers: Record<string, string> = {}) =>
  await send('PUT', at(path), headers, body);
const get = async (path: string, headers: Record<string, string> = {}) => await send('GET', at(path), headers);
const tagOf = async (path: string) => String((await get(path)).headers.etag);

/** A form that any HTTP library would send. */
async function post(path: string, form: FormData, headers: Record<string, string> = {}) {
  const response = await fetch(server.url + path, { method: 'POST', body: form, headers });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}
function formOf(files: Readonly<Record<string, string>>): FormData {
  const form = new FormData();
  for (const [name, content] of Object.entries(files)) form.append('file', new Blob([content]), name);
  return form;
}

describe('a form of files', () => {
  test('goes to a folder by POST, each file as it is and under its name', async () => {
    const binary = '\u0000\r\n--\r\nbytes é 😀';
    const { status, body } = await post(at('in/'), formOf({ 'a.bin': binary, 'é b.txt': '', 'deep/c.txt': 'c' }));
    expect({ status, body }).toEqual({
      status: 201,
      body: {
        session_id: session,
        files: [
          { path: 'in/a.bin', size: Buffer.byteLength(binary), created: true },
          { path: 'in/é b.txt', size: 0, created: true },
          { path: 'in/deep/c.txt', size: 1, created: true },
        ],
      },
    });
    expect((await get('in/a.bin')).text).toBe(binary);
    expect((await post(at('in'), formOf({ 'a.bin': 'new' }))).status).toBe(200);
    expect((await post(`/sessions/${session}/files`, formOf({ top: '1' }))).status).toBe(201);
    expect((await runPython(server, 'print(open("top").read())', { session_id: session })).stdout).toBe('1\n');
  });

  test('is sent by curl -F, and by PUT is refused as the bytes of a file', async () => {
    const line = (method: string, path: string) =>
      `printf 'a,b\\r\\n' | curl -sS -o /dev/null -w '%{http_code}' -X ${method} -F 'file=@-;filename=data.csv' ${server.url}${at(path)}`;
    expect(await runShell(line('POST', 'curl/'))).toMatchObject({ stdout: '201', stderr: '' });
    expect((await get('curl/data.csv')).text).toBe('a,b\r\n');
    expect((await runShell(line('PUT', 'curl/put.csv'))).stdout).toBe('415');
    expect((await get('curl/put.csv')).status).toBe(404);
  });

  test.each<[what: string, path: string, form: () => FormData, message: RegExp]>([
    ['a path that is a file', 'top', () => formOf({ a: '1' }), /is not a folder/],
    ['a path that is nothing', 'nothing', () => formOf({ a: '1' }), /is not a folder/],
    ['two files of one name', 'two/', () => both(), /the file "two\/a" twice.*Files stored before: "two\/a"/],
    ['no file', 'x/', () => new FormData(), /The form has no file|malformed/],
    ['a name that leads out', 'x/', () => formOf({ '../a': '1' }), /".."/],
    ['an absolute name', 'x/', () => formOf({ '/etc/a': '1' }), /begins with a slash/],
    ['a field that is no file', 'x/', () => withField(), /"note" in the form is not a file/],
  ])('is refused with %s', async (_what, path, form, message) => {
    const { status, body } = await post(at(path), form());
    expect([status, body]).toMatchObject([400, { error: { message: expect.stringMatching(message) } }]);
  });

  test('is refused whole where it has conditions, and as any other type', async () => {
    expect((await post(at('x/'), formOf({ a: '1' }), { 'if-none-match': '*' })).status).toBe(400);
    expect((await send('POST', at('x/'), { 'content-type': 'text/csv' }, 'a,b')).status).toBe(415);
    expect((await get('x/a')).status).toBe(404);
  });

  const both = () => {
    const form = formOf({ a: '1' });
    form.append('other', new Blob(['2']), 'a');
    return form;
  };
  const withField = () => {
    const form = new FormData();
    form.append('note', 'text');
    return form;
  };
});

test('the top of the files is the workspace, for the tool and over REST', async () => {
  await put('on-top', '1');
  const paths = (files: unknown) => (files as { path: string }[]).map(({ path }) => path);
  for (const path of ['/', '//', '.', '/workspace', '']) {
    const { files } = (await callTool(server, 'list_files', { path, session_id: session })) as { files: unknown };
    expect(paths(files)).toContain('on-top');
    const listed = await send('GET', `/sessions/${session}/files?path=${encodeURIComponent(path)}`);
    expect(paths(listed.json().files)).toContain('on-top');
  }
  expect((await send('GET', `/sessions/${session}/files?path=/etc`)).status).toBe(400);
});

test('a folder that is not empty is kept, and the hint says how a REST caller deletes it', async () => {
  await put('full/a', '1');
  const refused = await send('DELETE', at('full'));
  expect([refused.status, refused.json().error.hint]).toEqual([400, expect.stringContaining('?recursive=1')]);
  expect((await send('DELETE', `${at('full')}?recursive=true`)).status).toBe(204);
});

describe('an upload that would not be what was sent is refused, and makes no session', () => {
  test.each<[what: string, headers: Record<string, string>, status: number]>([
    ['a part of a file', { 'content-range': 'bytes 0-3/10' }, 400],
    ['a compressed body', { 'content-encoding': 'gzip' }, 415],
    ['a form', { 'content-type': 'multipart/form-data; boundary=x' }, 415],
    ['a condition that cannot be read', { 'if-match': 'abc' }, 400],
    ['more than the disk has', { 'content-length': '100000000000' }, 413],
  ])('%s', async (_what, headers, status) => {
    const answer = await sendRaw(server.port, at('a', 'never-made'), { method: 'PUT', headers, body: '' });
    expect(answer.status).toBe(status);
    expect(answer.json().error.hint).toMatch(/\w/);
    expect((await send('GET', '/sessions/never-made')).status).toBe(404);
  });

  test('a tar under conditions', async () => {
    const headers = { 'content-type': 'application/x-tar', 'if-none-match': '*' };
    expect((await send('PUT', `${at('a', 'never-made')}?unpack=1`, headers, 'x')).status).toBe(400);
    expect((await send('GET', '/sessions/never-made')).status).toBe(404);
  });
});

test('transfers that stall take no place of other work with the files of their session', async () => {
  await runPython(server, 'open("large", "wb").truncate(100 << 20)', { session_id: session });
  const stall = (method: string, path: string) => {
    const headers = method === 'PUT' ? { 'content-length': '1000' } : {};
    const request = httpRequest({ host: '127.0.0.1', port: server.port, path: at(path), method, headers });
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    answered.catch(() => {});
    if (method === 'PUT') request.write('x');
    else request.end();
    return { request, answered };
  };
  const uploads = Array.from({ length: 8 }, (_, index) => stall('PUT', `stalled-${index}`));
  const downloads = Array.from({ length: 8 }, () => stall('GET', 'large'));
  await Promise.all(downloads.map(({ answered }) => answered)); // Nobody reads on.
  const answers = await Promise.all(['a', 'b', 'c'].map((name) => put(`moving-${name}`, 'data')));
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 201]);
  expect((await send('GET', `/sessions/${session}/files`)).status).toBe(200);
  const [refused] = await Promise.race(uploads.map(({ answered }) => answered));
  expect([refused.statusCode, refused.headers.connection]).toEqual([408, 'close']);
  for (const { request } of [...uploads, ...downloads]) request.on('error', () => {}).destroy();
});

describe('ETag and the conditions on it', () => {
  test('the ETag of an upload is that of the next download, and changes with the file, by whomever', async () => {
    const made = await put('tag', 'one');
    expect(made.headers.etag).toMatch(/^"[\da-f-]+"$/);
    expect(await tagOf('tag')).toBe(made.headers.etag);
    expect((await send('HEAD', at('tag'))).headers.etag).toBe(made.headers.etag);
    const replaced = await put('tag', 'two');
    expect(replaced.headers.etag).not.toBe(made.headers.etag);
    await runPython(server, 'open("tag", "r+").write("six")', { session_id: session });
    expect(await tagOf('tag')).not.toBe(replaced.headers.etag);
  });

  test('304 for what the caller has, with the validators and nothing else', async () => {
    await put('same', '0123456789');
    const first = await get('same');
    const tag = String(first.headers.etag);
    const modified = String(first.headers['last-modified']);
    const past = new Date(Date.parse(modified) - 60_000).toUTCString();
    for (const [headers, status] of [
      [{ 'if-none-match': tag }, 304],
      [{ 'if-none-match': `"other", W/${tag}` }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': '"other"' }, 200],
      [{ 'if-modified-since': modified }, 304],
      [{ 'if-modified-since': past }, 200],
      [{ 'if-modified-since': modified, 'if-none-match': '"other"' }, 200],
      [{ 'if-modified-since': 'never' }, 200],
      [{ 'if-match': tag }, 200],
      [{ 'if-match': '"other"' }, 412],
      [{ 'if-match': `W/${tag}` }, 412],
      [{ 'if-match': tag, 'if-none-match': tag }, 304],
      [{ 'if-match': '"other"', 'if-none-match': tag }, 412],
      [{ 'if-unmodified-since': modified }, 200],
      [{ 'if-unmodified-since': past }, 412],
    ] as [Record<string, string>, number][]) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await send(method, at('same'), headers);
        expect([method, headers, answer.status]).toEqual([method, headers, status]);
        if (status !== 304) continue;
        expect(answer.headers).toMatchObject({ etag: tag, 'last-modified': modified });
        expect([answer.text, answer.headers['content-length']]).toEqual(['', undefined]);
      }
    }
  });

  test('a range is of the file that If-Range names, or else all of it is sent', async () => {
    await put('part', '0123456789');
    await runPython(server, 'import os; os.utime("part", (1e9, 1e9))', { session_id: session });
    const { headers } = await get('part');
    for (const [ifRange, status, text] of [
      [String(headers.etag), 206, '123'],
      [String(headers['last-modified']), 206, '123'],
      [`W/${headers.etag}`, 200, '0123456789'],
      ['"other"', 200, '0123456789'],
      [new Date(0).toUTCString(), 200, '0123456789'],
      ['nonsense', 200, '0123456789'],
    ] as const) {
      const answer = await get('part', { range: 'bytes=1-3', 'if-range': ifRange });
      expect([ifRange, answer.status, answer.text]).toEqual([ifRange, status, text]);
    }
    expect((await get('part', { range: 'bytes=0-3,2-5' })).text).toBe('0123456789');
  });

  test('If-Match keeps a change of somebody else from being overwritten or deleted', async () => {
    const { headers } = await put('shared', 'mine');
    const tag = String(headers.etag);
    const { headers: others } = await put('shared', 'theirs');
    const refused = await put('shared', 'lost update', { 'if-match': tag });
    expect([refused.status, refused.json().error.code]).toEqual([412, 'precondition_failed']);
    expect((await send('DELETE', at('shared'), { 'if-match': tag })).status).toBe(412);
    expect((await send('DELETE', at('shared'), { 'if-unmodified-since': new Date(0).toUTCString() })).status).toBe(412);
    expect((await get('shared')).text).toBe('theirs');
    expect((await put('shared', 'next', { 'if-match': `"x", ${others.etag}` })).status).toBe(200);
    expect((await put('shared', 'all', { 'if-none-match': await tagOf('shared') })).status).toBe(412);
    expect((await put('shared', 'all', { 'if-match': '*' })).status).toBe(200);
    expect((await put('missing', 'x', { 'if-match': '*' })).status).toBe(412);
    expect((await put('shared', 'x', { 'if-match': '*', 'if-none-match': '*' })).json().error.code).toBe('file_exists');
    expect((await send('DELETE', at('shared'), { 'if-match': await tagOf('shared') })).status).toBe(204);
  });

  test('of many that replace one version at once, one does', async () => {
    const { headers } = await put('raced', '0');
    const answers = await Promise.all(
      ['1', '2', '3', '4', '5', '6'].map((body) => put('raced', body, { 'if-match': String(headers.etag) })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412, 412, 412]);
  });

  test('a folder has no ETag', async () => {
    await put('tagless/file', 'data');
    expect((await send('GET', `${at('tagless')}?format=tar`, { 'if-match': '"x"' })).status).toBe(412);
    expect((await send('GET', `${at('tagless')}?format=tar`, { 'if-none-match': '"x"' })).status).toBe(200);
  });
});
