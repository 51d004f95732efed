import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { extract, type Header, pack } from 'tar-stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sendRaw } from '../support/raw-request.ts';
import { callTool, type ErrorAnswer, isSecondTry, openSession, runPython, unusedName } from '../support/rest-client.ts';
import { newStateDir, residentMib, runShell, type Server, startServer } from '../support/server.ts';

const MIB = 2 ** 20;
/** What a busy server may have of 200 MiB that it has passed on, before it collects its garbage. */
const UNCOLLECTED_MIB = 120;
const PNG = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex');
let server: Server;
let session: string;

beforeAll(async () => {
  // A checkpoint is a transfer of its own: the server's memory is measured here without it.
  const env = { GLOVEBOX_DISK_MB: '256', GLOVEBOX_MEMORY_MB: '512', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };
  server = await startServer({ env });
  session = await openSession(server);
});
beforeEach(async ({ task }) => {
  if (isSecondTry(task)) session = await openSession(server);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const encode = (path: string) => path.split('/').map(encodeURIComponent).join('/');
const at = (path: string, id = session) => `${server.url}/sessions/${id}/files/${encode(path)}`;
const put = (path: string, body: Buffer | string, headers: Record<string, string> = {}, query = '') =>
  fetch(at(path) + query, { method: 'PUT', body, headers });
const get = (path: string, headers: Record<string, string> = {}, query = '') => fetch(at(path) + query, { headers });
const remove = (path: string, query = '') => fetch(at(path) + query, { method: 'DELETE' });
const python = async (code: string) => {
  const { stdout, stderr } = await runPython(server, code, { session_id: session });
  expect(stderr).toBe('');
  return stdout.trimEnd();
};
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const bytesOf = async (response: Response) => Buffer.from(await response.arrayBuffer());
const errorOf = async (response: Response) => ((await response.json()) as ErrorAnswer).error;
const refusal = async (sent: Promise<Response>) => {
  const response = await sent;
  return { status: response.status, ...(await errorOf(response)) };
};

interface Listing {
  files: { path: string; type: string; size: number; modified: string }[];
  truncated?: boolean;
}
const list = async (query = '') =>
  (await (await fetch(`${server.url}/sessions/${session}/files${query}`)).json()) as Listing;
const everything = async () => await python('import os; print(sorted(os.listdir("/workspace")))');

async function tarOf(...entries: (Partial<Header> & { name: string; content?: Buffer | string })[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = '', ...header } of entries) archive.entry(header, content);
  archive.finalize();
  return await buffer(Readable.from(archive));
}

async function untar(tar: Buffer): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const archive = extract();
  archive.end(tar);
  for await (const entry of archive) {
    const content = await buffer(Readable.from(entry));
    found[entry.header.name] = entry.header.linkname ?? content.toString();
  }
  return found;
}

const TAR = { 'content-type': 'application/x-tar' };

/** Operations on files that have ended, by status. */
async function countEnded(): Promise<Record<string, number>> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  const samples = metrics.matchAll(/^glovebox_executions_total\{kind="files",status="(\w+)"\} (\d+)$/gm);
  return Object.fromEntries([...samples].map(([, status, count]) => [status, Number(count)]));
}

describe('a file that is sent', () => {
  test.each([0, 1, 20 * MIB])('of %d bytes comes back as it was, and code reads it', async (size) => {
    const content = randomBytes(size);
    const name = `binary-${size}.bin`;
    const sent = await put(name, content);
    expect([sent.status, await sent.json()]).toEqual([201, { session_id: session, path: name, size }]);
    expect(await python(`import hashlib; print(hashlib.sha256(open("${name}", "rb").read()).hexdigest())`)).toBe(
      sha(content),
    );
    const got = await get(name);
    expect(got.headers.get('content-length')).toBe(String(size));
    expect(sha(await bytesOf(got))).toBe(sha(content));
    expect((await remove(name)).status).toBe(204);
    expect((await get(name)).status).toBe(404);
  });

  test('replaces the one before, unless it is to be a new one', async () => {
    expect((await put('again', '1')).status).toBe(201);
    expect((await put('again', '2')).status).toBe(200);
    expect(await refusal(put('again', '3', { 'if-none-match': '*' }))).toMatchObject({
      status: 412,
      code: 'file_exists',
      message: expect.stringContaining('exists already'),
    });
    expect(await (await get('again')).text()).toBe('2');
  });

  test.each(['new\nline.txt', 'smile 😀', 'x'.repeat(255), 'a?b#c%d&e', 'q\'u"o\\te', 'deep/er/still'])(
    'may be called %j',
    async (name) => {
      expect((await put(name, 'data')).status).toBe(201);
      expect(await python(`print(open(${JSON.stringify(name)}).read())`)).toBe('data');
      const got = await get(name);
      expect([got.status, await got.text()]).toEqual([200, 'data']);
      expect((await list('?recursive=1')).files.map(({ path }) => path)).toContain(name);
      expect((await remove(name)).status).toBe(204);
    },
  );

  test('makes a session of a new name, and looking makes none', async () => {
    const id = unusedName('brand-new');
    const other = at('x', id);
    expect((await fetch(other)).status).toBe(404);
    expect((await fetch(`${server.url}/sessions/${id}`)).status).toBe(404);
    expect((await fetch(other, { method: 'PUT', body: '1' })).status).toBe(201);
    expect(await (await fetch(other)).text()).toBe('1');
  });

  test('is sent and fetched by curl', async () => {
    const folder = newStateDir();
    writeFileSync(join(folder, 'in.bin'), randomBytes(100_000));
    const url = at('data/in.bin');
    const { stdout } = await runShell(
      `cd ${folder} && curl -sSf -T in.bin ${url} && curl -sSf ${url} -o out.bin && cmp in.bin out.bin && cat in.bin | curl -sSf -T - ${url}`,
    );
    expect(stdout).toContain('"size":100000');
    expect(sha(readFileSync(join(folder, 'out.bin')))).toBe(sha(readFileSync(join(folder, 'in.bin'))));
  });

  test('is not held in memory on its way', async () => {
    const before = residentMib(server.pid);
    let highest = before;
    const piece = Buffer.alloc(MIB);
    const pieces = function* () {
      for (let sent = 0; sent < 200; sent += 1) {
        highest = Math.max(highest, residentMib(server.pid));
        yield piece;
      }
    };
    const sent = await fetch(at('large'), {
      method: 'PUT',
      body: Readable.toWeb(Readable.from(pieces())) as ReadableStream,
      duplex: 'half',
    } as RequestInit);
    expect(sent.status).toBe(201);
    expect(highest - before).toBeLessThan(UNCOLLECTED_MIB);
    const download = await get('large');
    // Nothing is taken of it: what waits must wait in the sandbox.
    await python('pass');
    expect(residentMib(server.pid) - before).toBeLessThan(UNCOLLECTED_MIB);
    await download.body?.cancel();
    expect((await remove('large')).status).toBe(204);
  });
});

describe('nothing is there of an upload', () => {
  test.each(['new-file', 'there-before'])('that is cut off in the middle (%s)', async (name) => {
    if (name === 'there-before') await put(name, 'old');
    const before = await everything();
    for (const headers of [{ 'content-length': '10000000' }, { 'transfer-encoding': 'chunked' }]) {
      const path = new URL(at(name)).pathname;
      const request = httpRequest({ host: '127.0.0.1', port: server.port, path, method: 'PUT', headers });
      const failed = new Promise((resolve) => request.once('error', resolve));
      await new Promise<void>((resolve) => request.write(randomBytes(3 * MIB), () => resolve()));
      request.destroy();
      await failed;
      // Answered only when the operation before it has ended.
      await expect.poll(async () => (await openFiles()).length).toBe(0);
    }
    expect(await everything()).toBe(before);
    if (name === 'there-before') expect(await (await get(name)).text()).toBe('old');
  });

  test('that is refused while its client keeps it waiting', async () => {
    const path = `/sessions/${session}/files/..%2Fx`;
    const headers = { 'content-length': '1000' };
    const request = httpRequest({ host: '127.0.0.1', port: server.port, path, method: 'PUT', headers });
    const answered = new Promise((resolve, reject) => {
      request.once('response', ({ statusCode }) => resolve(statusCode)).once('error', reject);
    });
    request.write('some');
    expect(await answered).toBe(400);
    request.destroy();
  });

  test('that fills the disk, and the answer says so', async () => {
    const before = await everything();
    const refused = await refusal(put('too-large', randomBytes(280 * MIB)));
    expect(refused).toMatchObject({ code: 'payload_too_large', hint: expect.stringContaining('GLOVEBOX_DISK_MB') });
    await python('open("filler", "wb").write(bytes(200 << 20))');
    const overflowing = await refusal(put('also/too-large', randomBytes(80 * MIB)));
    expect((await remove('filler')).status).toBe(204);
    expect(overflowing).toMatchObject({
      status: 507,
      code: 'disk_full',
      hint: expect.stringContaining('GLOVEBOX_DISK_MB'),
    });
    expect(await everything()).toBe(before);
    expect((await put('fits', randomBytes(30 * MIB))).status).toBe(201);
    expect((await remove('fits')).status).toBe(204);
  });
});

/** Command lines of the session's processes that hold an open file of the workspace. */
async function openFiles(): Promise<string[]> {
  const found = await python(`
import glob, os
for path in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        target = os.readlink(path)
    except OSError:
        continue
    if target.startswith("/workspace/"):
        print(path, target)
`);
  return found === '' ? [] : found.split('\n');
}

describe('a path that leads out', () => {
  test('is refused, whichever way it is written', async () => {
    for (const path of ['..%2f..%2fetc%2fpasswd', '%2e%2e%2f%2e%2e%2fetc/passwd', '%2Fetc%2Fpasswd', 'a%00b', '%zz']) {
      const url = `/sessions/${session}/files/${path}`;
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const { status, text } = await sendRaw(server.port, url, {
          method,
          ...(method === 'PUT' ? { body: 'x' } : {}),
        });
        expect({ path, method, status, text }).toMatchObject({
          status: 400,
          text: expect.stringContaining('invalid_input'),
        });
      }
    }
    const plain = `/sessions/${session}/files/../../../../etc/passwd`;
    expect((await sendRaw(server.port, plain, { method: 'PUT', body: 'x' })).status).toBeGreaterThanOrEqual(400);
    expect((await sendRaw(server.port, plain)).text).not.toContain('root');
  });

  test('is not taken by way of a link', async () => {
    await python(
      'import os; os.symlink("/", "root"); os.symlink("/etc/passwd", "passwd"); os.symlink("/workspace", "here")',
    );
    for (const path of ['root/etc/passwd', 'passwd', 'here/again']) {
      for (const sent of [put(path, 'x'), get(path)]) {
        const { status, message } = await refusal(sent);
        expect([status, message]).toEqual([400, expect.stringContaining('symbolic link')]);
      }
    }
    expect(await refusal(put('root/tmp', await tarOf({ name: 'x' }), TAR, '?unpack=1'))).toMatchObject({ status: 400 });
    expect(await refusal(get('root', {}, '?format=tar'))).toMatchObject({ code: 'invalid_input' });
    for (const name of ['root', 'passwd', 'here']) expect((await remove(name, '?recursive=1')).status).toBe(204);
    expect(await python('import os; print(os.path.exists("/etc/passwd"))')).toBe('True');
  });

  test('to another session is as unknown as any', async () => {
    const other = await openSession(server);
    await fetch(at('secret', other), { method: 'PUT', body: 'secret' });
    expect((await get('secret')).status).toBe(404);
    expect((await sendRaw(server.port, `/sessions/${session}/files/../../${other}/files/nothing`)).status).toBe(404);
    expect(await refusal(fetch(at('secret', 'gbx_unknown')))).toMatchObject({ code: 'session_not_found' });
  });
});

describe('a download', () => {
  test('is never a page of this server', async () => {
    await put('page.html', '<script>alert(1)</script>');
    const got = await get('page.html');
    expect(Object.fromEntries(got.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-disposition': expect.stringContaining('attachment'),
      'x-content-type-options': 'nosniff',
      'content-security-policy': expect.stringContaining('sandbox'),
    });
  });

  test('is the part that is asked for', async () => {
    await put('range', '0123456789');
    for (const [range, status, body, contentRange] of [
      ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
      ['bytes=7-', 206, '789', 'bytes 7-9/10'],
      ['bytes=-3', 206, '789', 'bytes 7-9/10'],
      ['bytes=5-500', 206, '56789', 'bytes 5-9/10'],
      ['bytes=-500', 206, '0123456789', 'bytes 0-9/10'],
      ['bytes=0-1,3-4', 200, '0123456789', null],
      ['bytes=4-2', 200, '0123456789', null],
      ['rows=1-2', 200, '0123456789', null],
    ] as const) {
      const got = await get('range', { range });
      expect([range, got.status, await got.text(), got.headers.get('content-range')]).toEqual([
        range,
        status,
        body,
        contentRange,
      ]);
    }
    for (const range of ['bytes=10-', 'bytes=-0']) {
      const got = await get('range', { range });
      expect([got.status, got.headers.get('content-range')]).toEqual([416, 'bytes */10']);
    }
  });

  test('can be asked about without being sent', async () => {
    await put('head', '0123456789');
    const head = await fetch(at('head'), { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
    expect((await fetch(at('nothing'), { method: 'HEAD' })).status).toBe(404);
    expect((await fetch(at(''), { method: 'HEAD', headers: { accept: 'application/x-tar' } })).status).toBe(200);
  });

  test('of what is no file is refused at once', async () => {
    await python(
      'import os, socket; os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("socket"); os.mkdir("folder")',
    );
    for (const path of ['fifo', 'socket', 'fifo/x', '%2Fdev%2Fzero']) {
      expect((await fetch(`${server.url}/sessions/${session}/files/${path}`)).status).toBe(400);
    }
    expect(await refusal(get('folder'))).toMatchObject({ status: 400, hint: expect.stringContaining('?format=tar') });
    expect(await refusal(put('folder', 'x'))).toMatchObject({ code: 'invalid_input' });
    expect(await refusal(remove('', '?recursive=1'))).toMatchObject({ code: 'invalid_input' });
  });

  test('of a file that grows is as long as it was announced', async () => {
    await python(`
import subprocess, sys
subprocess.run(["true"])
open("growing", "wb").write(b"x" * (5 << 20))
`);
    const [got] = await Promise.all([
      get('growing'),
      python('f = open("growing", "ab")\nfor _ in range(100): f.write(b"y" * 65536)'),
    ]);
    const content = await bytesOf(got);
    expect(content.length).toBe(Number(got.headers.get('content-length')));
  });

  test('that nobody reads to the end ends in the sandbox too', async () => {
    await python('f = open("sparse", "wb"); f.truncate(240 << 20)');
    const cut = new AbortController();
    const got = await fetch(at('sparse'), { signal: cut.signal });
    await got.body?.getReader().read();
    expect(await openFiles()).toHaveLength(1);
    cut.abort();
    await expect.poll(openFiles).toEqual([]);
  });
});

describe('a folder', () => {
  test('is listed', async () => {
    await put('listed/a/b.txt', 'four');
    await python('import os; os.symlink("/", "listed/link")');
    const { files } = await list('?path=listed&recursive=1');
    expect(files.map(({ path, type, size }) => [path, type, size])).toEqual([
      ['listed/a', 'directory', 0],
      ['listed/a/b.txt', 'file', 4],
      ['listed/link', 'link', 0],
    ]);
    expect(Date.now() - Date.parse(files[1]?.modified ?? '')).toBeLessThan(60_000);
    expect((await list('?path=listed')).files).toHaveLength(2);
    expect(await refusal(fetch(`${server.url}/sessions/${session}/files?path=nothing`))).toMatchObject({
      code: 'file_not_found',
    });
  });

  test('comes as a tar, without what leaves it', async () => {
    await put('packed/a', '1');
    await put('packed/b/é\n', '22');
    await python(
      'import os; os.symlink("../a", "packed/b/l"); os.symlink("/etc", "packed/out"); os.mkfifo("packed/f")',
    );
    const expected = { a: '1', 'b/': '', 'b/l': '../a', 'b/é\n': '22' };
    const got = await get('packed', {}, '?format=tar');
    expect(got.headers.get('content-disposition')).toContain('packed.tar');
    expect(got.headers.get('x-left-out')?.split(', ').sort()).toEqual(['f', 'out']);
    expect(await untar(await bytesOf(got))).toMatchObject(expected);
    expect(
      Object.keys(await untar(await bytesOf(await get('packed', { accept: 'application/x-tar' })))).sort(),
    ).toEqual(Object.keys(expected).sort());
    expect(await untar(await bytesOf(await get('', {}, '?format=tar')))).toHaveProperty('packed/a');
    const { stdout } = await runShell(`curl -sSf '${at('packed')}?format=tar' | tar -t | sort`);
    expect(stdout.split('\n')).toEqual(['a', 'b/', 'b/l', expect.stringContaining('b/'), '']);
  });

  test('is made of a tar', async () => {
    const tar = await tarOf(
      { name: './', type: 'directory' },
      { name: 'bin/run', mode: 0o4755, content: '#!/bin/sh\necho ran\n' },
      { name: 'data', content: randomBytes(5 * MIB) },
      { name: 'bin/data', type: 'symlink', linkname: '../data' },
    );
    const sent = await put('unpacked', tar, TAR, '?unpack=1');
    expect([sent.status, await sent.json()]).toEqual([
      201,
      { session_id: session, path: 'unpacked', files: 2, size: 5 * MIB + 19 },
    ]);
    expect(await python('import subprocess; print(subprocess.check_output(["unpacked/bin/run"], text=True))')).toBe(
      'ran',
    );
    expect(
      await python('import os; print(oct(os.stat("unpacked/bin/run").st_mode), os.path.getsize("unpacked/bin/data"))'),
    ).toBe(`0o100755 ${5 * MIB}`);
    expect((await put('unpacked-too/', tar, TAR)).status).toBe(201);
    expect((await put('kept.tar', tar, TAR)).status).toBe(201);
    expect((await get('kept.tar')).headers.get('content-length')).toBe(String(tar.length));
    for (const name of ['unpacked', 'unpacked-too']) expect((await remove(name)).status).toBe(400);
    for (const name of ['unpacked', 'unpacked-too', 'kept.tar'])
      expect((await remove(name, '?recursive=1')).status).toBe(204);
  });

  test('made of a tar has the modes and times of its folders, its hard links and its holes; gzip is taken, too', async () => {
    const make = `cd "$(mktemp -d)"; mkdir -p d/closed; printf data > d/closed/a; ln d/closed/a d/hard; truncate -s 40M d/holes
printf end >> d/holes; touch -d @1000000000 d/closed; chmod 500 d/closed; chmod 750 d`;
    const tell = `
import os
for name in ("", "/closed", "/closed/a", "/hard", "/holes"):
    s = os.stat("TOP/d" + name); print(oct(s.st_mode), s.st_nlink, s.st_size if os.path.isfile("TOP/d" + name) else "", s.st_blocks < 1000, int(s.st_mtime) == 10**9)
os.chmod("TOP/d/closed", 0o700)`;
    for (const [at, options] of ['-S --format=gnu -c', '-S --format=pax -c', '-S --format=pax -cz'].entries()) {
      const upload = `${make}; tar ${options} d | curl -sSf -T - -H 'content-type: application/x-tar' '${server.url}/sessions/${session}/files/tar${at}/'`;
      expect(JSON.parse((await runShell(upload)).stdout)).toMatchObject({ files: 3 });
      expect(await python(tell.replaceAll('TOP', `tar${at}`))).toBe(
        [
          '0o40750 3  True False',
          '0o40500 2  True True',
          '0o100644 2 4 True False',
          '0o100644 2 4 True False',
          `0o100644 1 ${40 * MIB + 3} True False`,
        ].join('\n'),
      );
      expect((await remove(`tar${at}`, '?recursive=1')).status).toBe(204);
    }
    const tar = await tarOf({ name: 'a', content: 'a' });
    for (const type of ['', 'application/octet-stream', 'application/gzip', 'application/x-tar']) {
      const sent = await put('by-slash/', tar, type === '' ? {} : { 'content-type': type });
      expect([sent.status, await sent.json()]).toMatchObject([201, { path: 'by-slash/', files: 1 }]);
    }
    expect((await put('by-slash/empty/', Buffer.alloc(0))).status).toBe(201);
    expect((await list('?path=by-slash')).files.map(({ path, type }) => [path, type])).toEqual([
      ['by-slash/a', 'file'],
      ['by-slash/empty', 'directory'],
    ]);
    expect((await remove('by-slash', '?recursive=1')).status).toBe(204);
    expect(await refusal(put('no-tar/', Buffer.from('text')))).toMatchObject({
      status: 400,
      message: expect.stringContaining('tar'),
    });
    expect(await refusal(put('no-tar/', 'text', { 'content-type': 'text/plain' }))).toMatchObject({ status: 400 });
    const broken = await refusal(put('broken', Buffer.from('1f8b0800', 'hex'), TAR, '?unpack=1'));
    expect(broken).toMatchObject({
      status: 400,
      message: expect.stringContaining('gzip data is damaged or incomplete'),
    });
  });

  test.each<[string, Partial<Header> & { name: string; content?: string }]>([
    ['".." in its path', { name: '../evil', content: 'x' }],
    ['an absolute path', { name: '/workspace/evil', content: 'x' }],
    ['a hard link', { name: 'evil', type: 'link', linkname: '/etc/passwd' }],
    ['a hard link', { name: 'evil', type: 'link', linkname: '../first' }],
    ['not an earlier file', { name: 'evil', type: 'link', linkname: 'last' }],
    ['leads out', { name: 'evil', type: 'symlink', linkname: '/etc/passwd' }],
    ['leads out', { name: 'evil', type: 'symlink', linkname: '../..' }],
    ['a device', { name: 'evil', type: 'character-device' }],
    ['a FIFO', { name: 'evil', type: 'fifo' }],
  ])('is not made of a tar with %s', async (why, entry) => {
    const refused = await refusal(
      put('refused', await tarOf({ name: 'first' }, entry, { name: 'last' }), TAR, '?unpack=1'),
    );
    expect(refused).toMatchObject({ status: 400, code: 'invalid_input', message: expect.stringContaining(why) });
    expect(
      await python('import os; print([n for n in ("evil", "refused/evil", "refused/last") if os.path.lexists(n)])'),
    ).toBe('[]');
  });

  test.each([
    ['of a declared length', (tar: Buffer) => tar],
    ['that comes in chunks', (tar: Buffer) => Readable.toWeb(Readable.from([tar]))],
  ])('is not made of a tar %s that is cut off', async (_how, toBody) => {
    const tar = await tarOf({ name: 'cut', content: randomBytes(5000) });
    for (const end of [100, 2000, 5000]) {
      const sending = { method: 'PUT', body: toBody(tar.subarray(0, end)), headers: TAR, duplex: 'half' };
      const sent = fetch(`${at('cut')}?unpack=1`, sending as RequestInit);
      expect(await refusal(sent), `${end} bytes`).toMatchObject({
        status: 400,
        code: 'invalid_input',
        message: 'This is not a tar that can be read: it ends too early.',
      });
    }
    expect(await python('import os; print(os.path.lexists("cut/cut"))')).toBe('False');
  });

  test('is not made of a tar that holds more than there is room for', async () => {
    const many = await tarOf(...Array.from({ length: 49_900 }, (_, at) => ({ name: `${at}` })));
    const refused = await refusal(put('bomb', many, TAR, '?unpack=1'));
    expect((await remove('bomb', '?recursive=1')).status).toBe(204);
    expect(refused).toMatchObject({ status: 507, code: 'disk_full' });
    expect(await refusal(put('bomb', 'no tar', { 'content-type': 'text/plain' }, '?unpack=1'))).toMatchObject({
      message: 'Only a tar can be unpacked.',
    });
  });

  test('with holes as large as no disk is not packed', async () => {
    await python(`
import os
os.mkdir("holes")
for at in range(4):
    open(f"holes/{at}", "wb").truncate(240 << 20)
`);
    expect(await refusal(get('holes', {}, '?format=tar'))).toMatchObject({ status: 413, code: 'payload_too_large' });
    expect((await remove('holes', '?recursive=1')).status).toBe(204);
  });
});

describe('the tools for files', () => {
  const tool = <T>(name: string, args: object) =>
    callTool(server, name, { session_id: session, ...args }) as Promise<T>;
  interface Part {
    content: string;
    offset: number;
    size: number;
    next_offset?: number;
  }

  test('write what code reads, and read what it writes', async () => {
    expect(await tool('write_file', { path: 'tool/a.txt', content: 'é 😀\n' })).toEqual({
      session_id: session,
      path: 'tool/a.txt',
      size: 8,
    });
    await python('import pathlib; p = pathlib.Path("tool/a.txt"); p.write_text(p.read_text() + "more")');
    expect(await tool('read_file', { path: '/workspace/tool/a.txt' })).toEqual({
      session_id: session,
      path: '/workspace/tool/a.txt',
      size: 12,
      offset: 0,
      encoding: 'text',
      content: 'é 😀\nmore',
    });
    const { files } = await tool<Listing>('list_files', { path: 'tool' });
    expect(files).toMatchObject([{ path: 'tool/a.txt', size: 12, type: 'file' }]);
  });

  test('reach the workspace by the names that code knows it by, and nothing beside it', async () => {
    const code =
      'import os; os.makedirs("/mnt/data/named"); open("/mnt/data/named/a", "w").write("a"); os.chdir("/home/user/named"); print(os.getcwd())';
    expect(await python(code)).toBe('/workspace/named');
    for (const top of ['/mnt/data', '/home/user', '/sandbox', '/workspace']) {
      const told = await callTool(server, 'read_file', { path: `${top}/named/a`, session_id: session });
      expect(told).toMatchObject({ content: 'a' });
      await callTool(server, 'write_file', { path: `${top}/named/b`, content: top, session_id: session });
      expect(await bytesOf(await get(`${top}/named/b`))).toEqual(Buffer.from(top));
      expect((await put(`${top}/named/c`, top)).status).toBeLessThan(300);
      expect(await list(`?path=${encodeURIComponent(`${top}/named`)}`)).toMatchObject({
        files: [{ path: 'named/a' }, { path: 'named/b' }, { path: 'named/c', size: top.length }],
      });
      for (const path of [`${top}/../etc/passwd`, `${top}/named/../../etc/passwd`, `${top}x/a`])
        expect(await refusal(get(path))).toMatchObject({ status: 400, code: 'invalid_input' });
    }
    expect((await remove('/sandbox/named', '?recursive=1')).status).toBe(204);
    expect(await python('import os; print(os.path.exists("named"))')).toBe('False');
  });

  test('carry what is no text as base64, and say so', async () => {
    await tool('write_file', { path: 'tool/a.png', content: PNG.toString('base64'), encoding: 'base64' });
    expect(await bytesOf(await get('tool/a.png'))).toEqual(PNG);
    expect(await tool('read_file', { path: 'tool/a.png', encoding: 'base64' })).toMatchObject({
      content: PNG.toString('base64'),
    });
    await expect(tool('read_file', { path: 'tool/a.png' })).rejects.toThrow('encoding \\"base64\\"');
    await expect(tool('write_file', { path: 'x', content: '%', encoding: 'base64' })).rejects.toThrow('not base64');
    await expect(tool('read_file', { path: 'nothing' })).rejects.toThrow('file_not_found');
    await expect(tool('read_file', { path: '../x' })).rejects.toThrow('invalid_input');
  });

  test('read a long text in parts that cut no character', async () => {
    const text = 'aé😀€'.repeat(3000);
    await put('tool/long.txt', text);
    for (const length of [1, 4, 1001, 4096]) {
      let read = '';
      let next: number | undefined = length < 10 ? 29_900 : 0;
      const skipped = Buffer.from(text).subarray(0, next).toString();
      while (next !== undefined) {
        const part: Part = await tool('read_file', { path: 'tool/long.txt', offset: next, length });
        expect(part.offset).toBe(next);
        read += part.content;
        next = part.next_offset;
      }
      expect(skipped + read).toBe(text);
    }
    expect(await tool('read_file', { path: 'tool/long.txt', offset: 2, length: 4 })).toMatchObject({ offset: 3 });
  });

  test('know a name that is not UTF-8 by one spelling, by which it is read, written, removed and sent as a tar', async () => {
    const made = await runPython(
      server,
      'import os\nos.mkdir("odd")\nfor name in (b"\\xcf\\xfa.txt", b"caf\\xe9", b"plain\\\\xff"): open(b"odd/" + name, "wb").write(name)',
      { session_id: session },
    );
    const paths = ['odd/\\xcf\\xfa.txt', 'odd/caf\\xe9', 'odd/plain\\x5cxff'];
    expect(made.files.map(({ path }) => path).sort()).toEqual([...paths].sort());
    const listed = (await tool<Listing>('list_files', { path: 'odd' })).files.map(({ path }) => path);
    expect(listed.sort()).toEqual([...paths].sort());
    const names = [Buffer.from('cffa2e747874', 'hex'), Buffer.from('636166e9', 'hex'), Buffer.from('plain\\xff')];
    for (const [number, path] of paths.entries()) {
      const content = names[number]?.toString('base64');
      expect(await tool('read_file', { path, encoding: 'base64' })).toMatchObject({ path, content });
      expect(await bytesOf(await get(path))).toEqual(names[number]);
    }
    const raw = await fetch(`${server.url}/sessions/${session}/files/odd/caf%E9`);
    expect([raw.status, raw.headers.get('content-disposition')]).toEqual([200, expect.stringContaining('caf%5Cxe9')]);
    expect(await tool('read_file', { path: 'odd/caf\udce9', encoding: 'base64' })).toMatchObject({ path: paths[1] });
    const absent = await refusal(fetch(`${server.url}/sessions/${session}/files/odd/%FE`));
    expect(absent).toMatchObject({ status: 404, message: expect.stringContaining('"odd/\\xfe"') });

    const tar = await bytesOf(await get('odd', {}, '?format=tar'));
    expect((await put('odd-again/', tar, TAR)).status).toBe(201);
    await tool('write_file', { path: 'odd-again/\\xfe', content: 'written' });
    expect((await remove('odd-again/caf\\xe9')).status).toBe(204);
    expect(await python('import os; print(sorted(os.listdir(b"odd-again")))')).toBe(
      String.raw`[b'plain\\xff', b'\xcf\xfa.txt', b'\xfe']`,
    );
    for (const folder of ['odd', 'odd-again']) expect((await remove(folder, '?recursive=1')).status).toBe(204);
  });

  test('work whatever the files are called', async () => {
    for (const name of ['contextlib.py', 'json.py', 'errno.py', 'files.py', 'file_tree.py'])
      await tool('write_file', { path: name, content: 'raise SystemExit("shadowed")' });
    expect((await tool<Listing>('list_files', {})).files.length).toBeGreaterThanOrEqual(5);
    for (const name of ['contextlib.py', 'json.py', 'errno.py', 'files.py', 'file_tree.py'])
      expect((await remove(name)).status).toBe(204);
  });
});

describe('GET /metrics counts an operation on files', () => {
  test.each<[string, number, () => Promise<Response>]>([
    ['ok', 201, () => put('counted', 'data')],
    ['ok', 200, () => get('counted')],
    ['ok', 206, () => get('counted', { range: 'bytes=1-2' })],
    ['ok', 416, () => get('counted', { range: 'bytes=9-' })],
    ['ok', 200, () => fetch(at('counted'), { method: 'HEAD' })],
    ['ok', 200, () => get('', {}, '?format=tar')],
    ['ok', 204, () => remove('counted')],
    ['error', 404, () => get('counted')],
    ['error', 404, () => remove('counted')],
    ['error', 400, () => put('counted', 'no tar', TAR, '?unpack=1')],
    ['error', 400, () => get('')],
  ])('as %s when it is answered with %d', async (status, code, call) => {
    await (code === 201 || code === 404 ? remove('counted') : put('counted', 'data'));
    const before = await countEnded();
    const response = await call();
    await response.arrayBuffer();
    expect(response.status).toBe(code);
    expect(await countEnded()).toEqual({ ...before, [status]: (before[status] ?? 0) + 1 });
  });

  test('as cancelled when its caller leaves an upload', async () => {
    const before = await countEnded();
    const headers = { 'content-length': '1000' };
    const path = new URL(at('upload')).pathname;
    const request = httpRequest({ host: '127.0.0.1', port: server.port, path, method: 'PUT', headers });
    const failed = new Promise((resolve) => request.once('error', resolve));
    request.write('some');
    await expect.poll(async () => (await openFiles()).length).toBe(1);
    request.destroy();
    await failed;
    await expect.poll(countEnded).toEqual({ ...before, cancelled: (before['cancelled'] ?? 0) + 1 });
  });

  test('as cancelled when its caller leaves a download', async () => {
    await put('large', randomBytes(8 * MIB));
    const before = await countEnded();
    const leaving = new AbortController();
    const { body } = await fetch(at('large'), { signal: leaving.signal });
    await body?.getReader().read();
    leaving.abort();
    await expect.poll(countEnded).toEqual({ ...before, cancelled: (before['cancelled'] ?? 0) + 1 });
    await remove('large');
  });
});
