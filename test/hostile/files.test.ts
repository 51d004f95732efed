import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sendRaw } from '../support/raw-request.ts';
import { type Server, startServer } from '../support/server.ts';
import { expectUsable, openVictim, see, type Victim } from './setup.ts';

let server: Server;
let victim: Victim;
beforeAll(async () => {
  const env = { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_DISK_MB: '32', GLOVEBOX_POOL_SIZE: '1' };
  server = await startServer({ env });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** A request for a file of the victim's session; the path is sent as it is. */
async function ask(method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) {
  const url = `/sessions/${victim.id}/files/${path}`;
  return await sendRaw(server.port, url, { method, headers, ...(body === undefined ? {} : { body }) });
}

/** Code that sets a trap for the control plane, what that is asked then, and the status of its answer. */
const TRAPS: readonly [what: string, code: string, method: string, path: string, status: number][] = [
  ['a link to a file of the image is downloaded: refused', 'os.symlink("/etc/passwd", "t")', 'GET', 't', 400],
  ['a link to a file of the image is written: refused', 'os.symlink("/etc/passwd", "t")', 'PUT', 't', 400],
  ['a folder that is a link to / is read through: refused', 'os.symlink("/", "t")', 'GET', 't/etc/passwd', 400],
  [
    'a folder that is a link into the interpreter is written through: refused',
    'os.symlink(os.path.dirname(os.__file__), "t")',
    'PUT',
    't/sitecustomize.py',
    400,
  ],
  [
    'a folder that is a link to the process itself is read through: refused',
    'os.symlink("/proc/self", "t")',
    'GET',
    't/environ',
    400,
  ],
  ['a link to an endless device is downloaded: refused', 'os.symlink("/dev/zero", "t")', 'GET', 't', 400],
  ['a link to its own name is downloaded: refused', 'os.symlink("t", "t")', 'GET', 't', 400],
  ['a FIFO that nobody writes is downloaded: refused at once', 'os.mkfifo("t")', 'GET', 't', 400],
  ['a FIFO that nobody reads is written: refused at once', 'os.mkfifo("t")', 'PUT', 't', 400],
  ['a socket is downloaded: refused', 'import socket; socket.socket(socket.AF_UNIX).bind("t")', 'GET', 't', 400],
  ['a folder is overwritten by a file: refused', 'os.mkdir("t")', 'PUT', 't', 400],
  ['the workspace itself is removed: refused', 'pass', 'DELETE', '?recursive=1', 400],
  [
    'a link to a folder of the image is removed with all in it: only the link goes',
    'os.symlink("/usr", "t")',
    'DELETE',
    't?recursive=1',
    204,
  ],
  ['a path climbs out, encoded: refused', 'pass', 'GET', '..%2f..%2fetc%2fpasswd', 400],
  ['a path climbs out to be written, encoded twice: it is a name like any', 'pass', 'PUT', '%252e%252e%252fx', 201],
  ['a path is absolute: refused', 'pass', 'GET', '%2Fetc%2Fpasswd', 400],
  ['a path has a NUL in it: refused', 'pass', 'PUT', 't%00.txt', 400],
  ['a name is longer than the kernel takes: refused', 'pass', 'PUT', 'x'.repeat(300), 400],
];

describe('code that sets a trap for who fetches and sends files', () => {
  test.each(TRAPS)('%s', async (_what, code, method, path, status) => {
    victim = await openVictim(server);
    await see(victim, `${code}\nprint(0)`);
    const answer = await ask(method, path, method === 'PUT' ? 'hostile' : undefined);
    expect([answer.status, answer.text]).toEqual([status, expect.not.stringContaining('root:')]);
    expect(
      await see(victim, 'print(json.dumps([os.path.exists(p) for p in ("/etc/passwd", "/usr/bin/env")]))'),
    ).toEqual([true, true]);
    await expectUsable(victim);
  });

  test('a file that turns into a link and back while it is fetched: what comes is the file, or a refusal', async () => {
    victim = await openVictim(server);
    const code = `
import os, time
open("real", "w").write("mine")
end = time.monotonic() + 4
while time.monotonic() < end:
    os.symlink("/etc/passwd", "new"); os.rename("new", "t")
    os.link("real", "new"); os.rename("new", "t")
`;
    const turning = victim.run(code, { timeout_s: 20 });
    const seen = new Set<string>();
    for (let left = 60; left > 0; left -= 1) {
      const { status, text } = await ask('GET', 't');
      seen.add(status === 200 ? text : String(status));
    }
    expect((await turning).status).toBe('ok');
    expect([...seen].filter((one) => !['mine', '400', '404'].includes(one))).toEqual([]);
    await expectUsable(victim);
  });

  test('a folder that turns into a link and back while files are sent into it: nothing is written elsewhere', async () => {
    victim = await openVictim(server);
    const code = `
import os, time
os.mkdir("/tmp/elsewhere")
end = time.monotonic() + 4
n = 0
while time.monotonic() < end:
    n += 1
    try: os.symlink("/tmp/elsewhere", "t"); os.unlink("t")
    except OSError: pass
    try: os.rename("t", f"away-{n}")
    except OSError: pass
print(os.listdir("/tmp/elsewhere"))
`;
    const turning = victim.run(code, { timeout_s: 20 });
    const statuses = new Set<number | undefined>();
    for (let left = 60; left > 0; left -= 1) statuses.add((await ask('PUT', `t/${left}`, 'hostile')).status);
    expect(await turning).toMatchObject({ status: 'ok', stdout: '[]\n' });
    expect([...statuses].every((one) => one !== undefined && one < 500)).toBe(true);
    await expectUsable(victim);
  });

  test('a tree of links, FIFOs and odd names is fetched as a tar: it holds no link that leads out', async () => {
    victim = await openVictim(server);
    await see(
      victim,
      `
os.mkdir("d"); os.symlink("/etc/passwd", "d/out"); os.symlink("../../..", "d/up"); os.mkfifo("d/fifo")
open(b"d/\\xff\\n", "w").close(); open("d/fine", "w").write("fine"); os.symlink("fine", "d/in")
print(0)`,
    );
    const { status, text } = await ask('GET', 'd?format=tar');
    expect(status).toBe(200);
    expect(text).toContain('fine');
    expect(text).not.toContain('/etc/passwd');
    expect(text).not.toContain('../../..');
    await expectUsable(victim);
  });

  test('files without end are listed: the list is cut, and says so', async () => {
    victim = await openVictim(server);
    const made =
      'os.mkdir("m")\ntry:\n    for n in range(20_000): open(f"m/{n}", "w").close()\nexcept OSError: pass\nprint(0)';
    await see(victim, made, { timeout_s: 60 });
    const answer = await fetch(`${server.url}/sessions/${victim.id}/files?recursive=1`);
    const { files, truncated } = (await answer.json()) as { files: unknown[]; truncated?: boolean };
    expect([answer.status, truncated, files.length < 20_000]).toEqual([200, true, true]);
  });
});

describe('an archive that somebody sends', () => {
  test.each<[what: string, block: (header: Buffer) => void]>([
    ['holds a device: refused', (header) => header.write('3', 156)],
    ['holds a FIFO: refused', (header) => header.write('6', 156)],
    ['has a path that climbs out: refused', (header) => header.write('../../tmp/x\0', 0)],
    ['has an absolute path: refused', (header) => header.write('/etc/x\0', 0)],
    ['has a link that leads out: refused', (header) => header.write('2/etc\0', 156)],
    ['has a hard link to nothing in it: refused', (header) => header.write('1/etc/passwd\0', 156)],
    [
      'says that a file has eight exbibytes: refused',
      (header) => void header.write('80000000000000007fffffffffffffff'.slice(0, 24), 124, 'hex'),
    ],
    ['has setuid files: they come without', (header) => header.write('0006755', 100)],
    ['has a wrong checksum: refused', (header) => header.write('0000000', 148)],
  ])('%s', async (what, change) => {
    victim = await openVictim(server);
    const answer = await ask('PUT', '?unpack=1', tarWith(change, !what.includes('checksum')), {
      'content-type': 'application/x-tar',
    });
    if (what.includes('setuid')) {
      expect(answer.status).toBeLessThan(300);
      expect(await see(victim, 'print(json.dumps(oct(os.stat("x").st_mode)))')).toBe('0o100755');
    } else {
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(answer.status).toBeLessThan(500);
      expect(await see(victim, 'print(json.dumps([os.listdir("/workspace"), os.path.exists("/tmp/x")]))')).toEqual([
        [],
        false,
      ]);
    }
    await expectUsable(victim);
  });
});

/** A tar of one empty file `x`, with its header changed. */
function tarWith(change: (header: Buffer) => void, sums = true): Buffer {
  const header = Buffer.alloc(512);
  header.write('x', 0);
  header.write('0000644', 100);
  header.write('00000000000', 124);
  header.write('00000000000', 136);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  change(header);
  if (sums) {
    header.fill(' ', 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  }
  return Buffer.concat([header, Buffer.alloc(1024)]);
}
