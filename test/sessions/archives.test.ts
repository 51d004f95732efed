import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type Header, pack } from 'tar-stream';
import { describe, expect, inject, test } from 'vitest';
import { archivesOf, untilSaved } from '../support/archives.ts';
import { makeWheel } from '../support/distributions.ts';
import { freePort } from '../support/free-port.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, type ErrorAnswer, openSession, post, runPython, userOf } from '../support/rest-client.ts';
import {
  containerOfUser,
  containersOf,
  environment,
  newStateDir,
  runCli,
  type Server,
  startServer,
} from '../support/server.ts';

const MIB = 2 ** 20;
const RESTING = { GLOVEBOX_HIBERNATE_AFTER_S: '1', GLOVEBOX_POOL_SIZE: '1' };
const AWAKE = { GLOVEBOX_HIBERNATE_AFTER_S: '0', GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_CHECKPOINT_AFTER_S: '1' };
const TAR = { 'content-type': 'application/x-tar' };

interface Summary {
  session_id: string;
  state: string;
  expires_at: string;
}

interface Snapshot {
  snapshot_id: string;
  session_id: string;
  size: number;
  created_at: string;
}

const summaryOf = async ({ url }: Server, id: string) =>
  (await (await fetch(`${url}/sessions/${id}`)).json()) as Summary;
const untilAsleep = async (server: Server, id: string) =>
  await expect.poll(async () => (await summaryOf(server, id)).state, { timeout: 40_000 }).toBe('hibernated');
const run = async (server: Server, session_id: string, code: string) => {
  const result = await runPython(server, code, { session_id });
  expect(result).toMatchObject({ status: 'ok', stderr: '' });
  return result;
};
const answer = async <T>(response: Promise<Response>) => (await (await response).json()) as T;
const refusal = async (sent: Promise<Response>) => {
  const response = await sent;
  return { status: response.status, ...((await response.json()) as ErrorAnswer).error };
};
const snapshot = async (server: Server, id: string) =>
  await answer<Snapshot>(post(server, `/sessions/${id}/snapshots`, ''));
const takeAway = async (server: Server, id: string) =>
  await (await containerOfUser(server, await userOf(server, id))).remove({ force: true });

async function tarOf(...entries: (Partial<Header> & { name: string; content?: Buffer | string })[]): Promise<Buffer> {
  const archive = pack();
  for (const { content = '', ...header } of entries) archive.entry(header, content);
  archive.finalize();
  return await buffer(Readable.from(archive));
}

const MAKE = `
import os
os.makedirs("deep/er"); os.mkdir("empty"); os.mkdir("closed"); open("closed/in", "w").write("in")
open("zero", "w"); open("data", "wb").write(bytes(range(256)) * 4096 * 20)
open("run", "w").write("x"); os.chmod("run", 0o750); open("secret", "w").write("s"); os.chmod("secret", 0)
os.symlink("../data", "deep/link"); os.symlink("/usr/bin/env", "out"); os.link("data", "hard")
open("deep/er/é \\n", "w").write("name"); os.utime("run", (1e9, 1e9)); open(b"not-\\xff-utf", "w")
open("holes", "wb").truncate(40 << 20); os.chmod("closed", 0o500); os.utime("empty", (1e9, 1e9))
`;
const TELL = `
import hashlib, os
for top, folders, files in sorted(os.walk(".")):
    for name in sorted([*folders, *files], key=os.fsencode):
        path = os.path.join(top, name); s = os.lstat(path)
        what = os.readlink(path) if os.path.islink(path) else (s.st_size, s.st_nlink) if os.path.isfile(path) else ""
        content = hashlib.sha256(open(path, "rb").read()).hexdigest()[:8] if os.path.isfile(path) and s.st_mode & 0o400 else ""
        print(ascii(path), oct(s.st_mode), what, int(s.st_mtime), content)
print(os.stat("holes").st_blocks)
`;

describe('an idle session', () => {
  test('becomes an archive without a container, and comes back with all that it had', async () => {
    await using server = await startServer({ env: RESTING });
    const id = await openSession(server);
    await run(server, id, MAKE);
    const before = await run(server, id, TELL);
    const user = await userOf(server, id);
    await untilAsleep(server, id);
    await expect.poll(async () => (await containersOf(server)).length).toBe(1);
    const after = await runPython(server, TELL, { session_id: id });
    expect(after).toMatchObject({ status: 'ok', stderr: '', stdout: before.stdout });
    expect(before.stdout).toContain('(20971520, 2)');
    expect(after).not.toHaveProperty('session_reset');
    expect(after).not.toHaveProperty('session_created');
    expect(await userOf(server, id)).not.toBe(user);
  });

  test('has what was in /tmp as it has its workspace, a fork of it too', async () => {
    await using server = await startServer({ env: RESTING });
    const id = await openSession(server);
    const make = `
import os, socket
open("step1.csv", "w").write("a,b"); open("/tmp/step1.csv", "w").write("a,b")
os.makedirs("/tmp/cache/empty"); os.symlink("/workspace/step1.csv", "/tmp/cache/link"); os.link("/tmp/step1.csv", "/tmp/hard")
os.utime("/tmp/step1.csv", (1e9, 1e9)); os.mkfifo("/tmp/fifo"); socket.socket(socket.AF_UNIX).bind("/tmp/socket")
open("/tmp/big", "wb").write(bytes(range(256)) * 4096 * 20)`;
    const tell = `
import os
print(sorted(os.listdir("/tmp/cache")), open("/tmp/cache/link").read(), os.stat("/tmp/hard").st_nlink)
print(os.stat("/tmp/step1.csv").st_mtime, open("/tmp/hard").read(), os.path.getsize("/tmp/big"))
print(sorted(name for name in os.listdir("/tmp") if not name.startswith("execution-")))`;
    const kept = "['empty', 'link'] a,b 2\n1000000000.0 a,b 20971520\n";
    await run(server, id, make);
    await untilAsleep(server, id);
    const back = await run(server, id, tell);
    expect(back.stdout).toBe(`${kept}['big', 'cache', 'hard', 'step1.csv']\n`);
    expect(back).not.toHaveProperty('session_reset');
    const fork = await answer<Summary>(post(server, `/sessions/${id}/fork`, ''));
    expect((await run(server, fork.session_id, tell)).stdout).toContain(kept);
  });

  test('keeps its packages', async () => {
    await using index = await IndexServer.start();
    index.add(makeWheel('plain-thing', '1.0'));
    await using server = await startServer({ env: { ...RESTING, GLOVEBOX_INDEX_URL: index.url } });
    const installed = await callTool(server, 'install_dependencies', {
      packages: ['plain-thing'],
      session_id: 'packed',
    });
    expect(installed).toMatchObject({ status: 'ok' });
    await untilAsleep(server, 'packed');
    expect(await run(server, 'packed', 'import plain_thing; print(plain_thing.__version__)')).toMatchObject({
      stdout: '1.0\n',
    });
    const again = await callTool(server, 'install_dependencies', { packages: ['plain-thing'], session_id: 'packed' });
    expect(again).toMatchObject({ packages: [{ status: 'already_satisfied' }] });
  });

  test('comes back after a restart, and after kill -9 of the server, as often as that happens', async () => {
    const [stateDir, port] = [newStateDir(), await freePort()];
    await using first = await startServer({ stateDir, port, env: RESTING });
    const id = await openSession(first);
    await run(first, id, 'open("kept", "w").write("0")');
    await untilAsleep(first, id);
    expect(await first.stop()).toEqual({ code: 0, signal: null });

    await using second = await startServer({ stateDir, port, env: RESTING });
    expect(await summaryOf(second, id)).toMatchObject({ state: 'hibernated' });
    expect(await run(second, id, 'print(open("kept").read())\nopen("kept", "a").write("1")')).toMatchObject({
      stdout: '0\n',
    });
    await untilAsleep(second, id);
    await second.kill();

    await using third = await startServer({ stateDir, port, env: RESTING });
    const back = await run(third, id, 'print(open("kept").read())');
    expect(back.stdout).toBe('01\n');
    expect(back).not.toHaveProperty('session_reset');
    expect(await third.stop()).toEqual({ code: 0, signal: null });
    expect(await containersOf(third)).toEqual([]);
  });

  test('that is used while it is being put to rest is answered at once, and loses nothing', async () => {
    await using server = await startServer({ env: { ...RESTING, GLOVEBOX_CHECKPOINT_AFTER_S: '0' } });
    const id = await openSession(server);
    await run(server, id, 'import os; open("big", "wb").write(os.urandom(50 << 20))');
    const isBeingSaved = () => archivesOf(server).some(({ names }) => !names.includes('archive.json'));
    await expect.poll(isBeingSaved, { timeout: 20_000, interval: 5 }).toBe(true);
    const results = await Promise.all(
      [1, 2, 3].map((n) => runPython(server, `open("during-${n}", "w")`, { session_id: id })),
    );
    expect(results).toMatchObject([{ status: 'ok' }, { status: 'ok' }, { status: 'ok' }]);
    await untilAsleep(server, id);
    const after = await Promise.all([1, 2].map(() => run(server, id, 'import os; print(sorted(os.listdir()))')));
    for (const { stdout } of after) expect(stdout).toBe("['big', 'during-1', 'during-2', 'during-3']\n");
  });

  test('with a live context stays awake until its idle time is over; then it tells what it lost', async () => {
    await using server = await startServer({ env: { ...RESTING, GLOVEBOX_IDLE_TTL_S: '4' } });
    const id = await openSession(server);
    await runPython(server, 'open("kept", "w")\nx = 1', { session_id: id, context: 'main' });
    const asleep = Date.now();
    await untilAsleep(server, id);
    expect(Date.now() - asleep).toBeGreaterThan(2500);
    expect(await run(server, id, 'import os; print(os.listdir())')).toMatchObject({
      stdout: "['kept']\n",
      session_reset: { reason: 'hibernated', lost: ['contexts'] },
    });
  });

  test('with a background execution stays awake while that runs', async () => {
    await using server = await startServer({ env: RESTING });
    const id = await openSession(server);
    const code = 'open("begun", "w"); import time; time.sleep(4); open("done", "w")';
    await runPython(server, code, { session_id: id, background: true });
    await expect.poll(async () => archivesOf(server).length, { timeout: 5000 }).toBe(1);
    expect(await summaryOf(server, id)).toMatchObject({ state: 'active' });
    await untilAsleep(server, id);
    expect(await run(server, id, 'import os; print(os.listdir(), os.path.exists("done"))')).toMatchObject({
      stdout: expect.stringContaining('True'),
    });
  });

  test('keeps the result of a background execution, also after kill -9 of the server', async () => {
    const [stateDir, port] = [newStateDir(), await freePort()];
    await using first = await startServer({ stateDir, port, env: RESTING });
    const session_id = await openSession(first);
    const code = 'print("said")\nopen("made", "w")';
    const { execution_id } = await runPython(first, code, { session_id, background: true });
    await untilAsleep(first, session_id);
    await first.kill();

    await using second = await startServer({ stateDir, port, env: RESTING });
    expect(await summaryOf(second, session_id)).toMatchObject({ state: 'hibernated' });
    expect(await callTool(second, 'get_execution', { execution_id })).toMatchObject({
      status: 'ok',
      stdout: 'said\n',
      files: [{ path: 'made', size: 0 }],
    });
  });

  test('is removed from the disk when its time is over, and when it is closed', async () => {
    await using server = await startServer({ env: { ...RESTING, GLOVEBOX_ARCHIVE_TTL_S: '3' } });
    await run(server, 'forgotten', 'open("a", "w").write("a")');
    await run(server, 'closed', 'open("a", "w").write("a")');
    await untilAsleep(server, 'closed');
    await untilAsleep(server, 'forgotten');
    expect((await fetch(`${server.url}/sessions/closed`, { method: 'DELETE' })).status).toBe(204);
    const status = async () => (await fetch(`${server.url}/sessions/forgotten`)).status;
    await expect.poll(status, { timeout: 10_000 }).toBe(404);
    await expect.poll(() => archivesOf(server)).toEqual([]);
  });

  test('whose archive is broken says so, and nothing of it is unpacked', async () => {
    await using server = await startServer({ env: RESTING });
    const id = await openSession(server);
    await run(server, id, 'import os; open("a", "wb").write(os.urandom(100_000)); open("b", "w").write("b")');
    await untilAsleep(server, id);
    const [archive] = archivesOf(server);
    const data = archive?.names.find((name) => name.endsWith('.data')) ?? '';
    const content = readFileSync(join(archive?.path ?? '', data));
    content[50_000] = (content[50_000] ?? 0) ^ 1;
    writeFileSync(join(archive?.path ?? '', data), content);
    expect(await refusal(post(server, `/sessions/${id}/fork`, ''))).toMatchObject({ code: 'sandbox_lost' });
    expect(await run(server, id, 'import os; print(os.listdir())')).toMatchObject({
      stdout: '[]\n',
      session_reset: { reason: 'archive_broken', lost: ['files', 'packages'] },
    });
    expect(await run(server, id, 'print(1)')).not.toHaveProperty('session_reset');
  });

  test('stays awake when there is no room for it, and loses nothing', async () => {
    await using server = await startServer({ env: { ...RESTING, GLOVEBOX_ARCHIVE_MB: '5' } });
    await run(server, 'large', 'import os; open("a", "wb").write(os.urandom(6 << 20))');
    await run(server, 'small', 'open("a", "w").write("a")');
    await untilAsleep(server, 'small');
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toMatch(/could not be hibernated.*session=large/);
    expect(await summaryOf(server, 'large')).toMatchObject({ state: 'active' });
    expect(archivesOf(server)).toHaveLength(1);
    expect(await refusal(post(server, '/sessions/large/snapshots', ''))).toMatchObject({
      status: 429,
      code: 'capacity_exceeded',
    });
    expect(await run(server, 'large', 'import os; print(os.path.getsize("a"))')).toMatchObject({
      stdout: `${6 * MIB}\n`,
    });
  });

  test('does not count against the limit of sessions', async () => {
    await using server = await startServer({ env: { ...RESTING, GLOVEBOX_MAX_SESSIONS_PER_OWNER: '1' } });
    await run(server, 'first', 'open("first", "w")');
    await untilAsleep(server, 'first');
    await run(server, 'second', 'open("second", "w")');
    await untilAsleep(server, 'second');
    for (const id of ['first', 'second']) {
      expect((await run(server, id, 'import os; print(os.listdir())')).stdout).toBe(`['${id}']\n`);
      await untilAsleep(server, id);
    }
  });
});

describe('a session whose container is lost', { timeout: 150_000 }, () => {
  test('comes back from its checkpoint, and says what was newer', async () => {
    await using server = await startServer({ env: AWAKE });
    const id = await openSession(server);
    await run(server, id, 'open("old", "w").write("old")\nopen("changed", "w").write("1")');
    await untilSaved(server);
    await run(server, id, 'import os; open("changed", "w").write("22"); os.rename("old", "renamed")');
    await untilSaved(server);
    await takeAway(server, id);
    const next = await run(server, id, 'import os; print(sorted(os.listdir()), open("changed").read())');
    expect(next.stdout).toBe("['changed', 'renamed'] 22\n");
    expect(next.session_reset).toEqual({
      reason: 'sandbox_lost',
      lost: ['background'],
      restored_from: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(await run(server, id, 'print(1)')).not.toHaveProperty('session_reset');

    const container = await containerOfUser(server, await userOf(server, id));
    await run(server, id, 'open("newer", "w")');
    await container.remove({ force: true });
    expect(await run(server, id, 'import os; print(sorted(os.listdir()))')).toMatchObject({
      stdout: "['changed', 'renamed']\n",
      session_reset: { reason: 'sandbox_lost', lost: ['files', 'background'] },
    });

    await run(server, id, 'open("/tmp/kept", "w").write("kept")');
    await untilSaved(server);
    await run(server, id, 'open("/tmp/newer", "w")');
    await takeAway(server, id);
    expect(
      await run(server, id, 'import os; print(open("/tmp/kept").read(), os.path.exists("/tmp/newer"))'),
    ).toMatchObject({
      stdout: 'kept False\n',
      session_reset: { lost: expect.arrayContaining(['files']) },
    });
  });

  test('in the midst of a call comes back as it was before; that is told once, with its true reason', async () => {
    await using server = await startServer({ env: AWAKE });
    const id = await openSession(server);
    await run(server, id, 'open("old", "w").write("old")');
    await untilSaved(server);
    const container = await containerOfUser(server, await userOf(server, id));
    const cut = runPython(server, 'import time; time.sleep(30)', { session_id: id });
    await expect.poll(async () => await answer(fetch(`${server.url}/sessions/${id}`))).toMatchObject({ running: 1 });
    await container.remove({ force: true });
    expect(await cut).toMatchObject({
      status: 'crashed',
      session_reset: { reason: 'sandbox_lost', lost: ['files', 'background'], restored_from: expect.any(String) },
    });
    const next = await run(server, id, 'import os; print(os.listdir())');
    expect(next).toMatchObject({ stdout: "['old']\n" });
    expect(next).not.toHaveProperty('session_reset');
  });

  test('comes back from its checkpoint after code that killed whatever came to kill it', async () => {
    await using server = await startServer({ env: AWAKE });
    const id = await openSession(server);
    await run(server, id, 'open("kept", "w").write("1")');
    await untilSaved(server);
    const hunt = [
      'import os',
      'os.kill(-1, 9)',
      'for _ in range(2): os.fork()',
      'me = os.getpid()',
      'while True:',
      '    for pid in range(me + 4, me + 60):',
      '        try: os.kill(pid, 9)',
      '        except OSError: pass',
    ].join('\n');
    const { status, session_reset } = await runPython(server, hunt, { session_id: id, timeout_s: 3 });
    expect(status).toBe('crashed');
    // Docker's kill from outside is always among those that are killed. Podman's may come through, and files stay then.
    const kept = inject('isPodman') && session_reset?.lost.includes('files') === false;
    expect(session_reset?.lost).toEqual(kept ? ['background'] : ['files', 'background']);
    expect(session_reset?.restored_from === undefined).toBe(kept);
    expect((await run(server, id, 'print(open("kept").read())')).stdout).toBe('1\n');
  });

  test('has what an execution did last in a checkpoint soon, however long that ran', async () => {
    await using server = await startServer({ env: { ...AWAKE, GLOVEBOX_CHECKPOINT_AFTER_S: '5' } });
    const id = await openSession(server);
    const code = 'import os, time\nopen("a", "w")\nwhile not os.path.exists("go"): time.sleep(0.01)\nopen("b", "w")';
    const started = Date.now();
    const long = run(server, id, code);
    await untilSaved(server, started);
    await run(server, id, 'open("go", "w")');
    await long;
    await untilSaved(server);
    await takeAway(server, id);
    expect(await run(server, id, 'import os; print(sorted(os.listdir()))')).toMatchObject({
      stdout: "['a', 'b', 'go']\n",
    });
  });

  test('while the server was down comes back too', async () => {
    const [stateDir, port] = [newStateDir(), await freePort()];
    await using first = await startServer({ stateDir, port, env: AWAKE });
    const id = await openSession(first);
    await run(first, id, 'open("old", "w").write("old")');
    await untilSaved(first);
    const container = await containerOfUser(first, await userOf(first, id));
    await first.kill();
    await container.remove({ force: true });
    await using second = await startServer({ stateDir, port, env: AWAKE });
    expect(await run(second, id, 'import os; print(os.listdir())')).toMatchObject({
      stdout: "['old']\n",
      session_reset: {
        reason: 'sandbox_lost',
        lost: expect.arrayContaining(['files']),
        restored_from: expect.any(String),
      },
    });
  });

  test('has only what changed in the next part of its checkpoint', async () => {
    await using server = await startServer({ env: AWAKE });
    const id = await openSession(server);
    await run(server, id, 'import os; open("big", "wb").write(os.urandom(20 << 20))');
    await untilSaved(server);
    await run(server, id, 'open("small", "w").write("small")');
    await untilSaved(server);
    const sizes = () =>
      archivesOf(server).flatMap(({ path, names }) =>
        names
          .filter((name) => name.endsWith('.data'))
          .map((name) => statSync(join(path, name)).size)
          .sort((a, b) => a - b),
      );
    // What it replaces is removed a moment after it counts.
    await expect.poll(sizes).toEqual([5, 20 * MIB]);
  });
});

describe('a snapshot', () => {
  test('is what a session was, however that goes on; each of its forks goes on apart', async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
    const id = await openSession(server);
    await run(server, id, 'open("a", "w").write("before"); import os; os.symlink("a", "link")');
    const made = await snapshot(server, id);
    expect(made).toMatchObject({ session_id: id, size: 6, snapshot_id: expect.stringMatching(/^snp_/) });
    await run(server, id, 'open("a", "w").write("after")');
    const from = await post(server, '/sessions', { name: 'again', from_snapshot: made.snapshot_id });
    expect([from.status, await from.json()]).toMatchObject([201, { session_id: 'again' }]);
    const fork = await answer<Summary>(post(server, `/sessions/${id}/fork`, { name: 'fork' }));
    await run(server, id, 'open("a", "w").write("last")');
    const read = async (session: string) => (await run(server, session, 'print(open("link").read())')).stdout;
    expect([await read('again'), await read(fork.session_id), await read(id)]).toEqual([
      'before\n',
      'after\n',
      'last\n',
    ]);
    await run(server, 'fork', 'open("a", "w").write("own")');
    expect([await read('again'), await read('fork'), await read(id)]).toEqual(['before\n', 'own\n', 'last\n']);
    expect(await refusal(post(server, `/sessions/${id}/fork`, { name: 'fork' }))).toMatchObject({ status: 400 });

    const listed = await answer<{ snapshots: Snapshot[] }>(fetch(`${server.url}/snapshots`));
    expect(listed.snapshots).toEqual([made]);
    const path = `${server.url}/snapshots/${made.snapshot_id}`;
    expect((await fetch(path, { method: 'DELETE' })).status).toBe(204);
    expect((await fetch(path, { method: 'DELETE' })).status).toBe(404);
    expect(await refusal(post(server, '/sessions', { from_snapshot: made.snapshot_id }))).toMatchObject({
      status: 404,
    });
  });

  test('and a fork are made by tools as well', async () => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
    await run(server, 'tools', 'open("a", "w").write("a")');
    const made = (await callTool(server, 'snapshot_session', { session_id: 'tools' })) as Snapshot;
    for (const args of [{ session_id: 'tools' }, { snapshot_id: made.snapshot_id }]) {
      const { session_id } = (await callTool(server, 'fork_session', args)) as Summary;
      expect((await run(server, session_id, 'print(open("a").read())')).stdout).toBe('a\n');
    }
    await expect(callTool(server, 'fork_session', {})).rejects.toThrow('one of session_id and snapshot_id');
    await expect(callTool(server, 'snapshot_session', { session_id: 'gbx_none' })).rejects.toThrow('session_not_found');
  });
});

test('one owner’s snapshots and archives do not exist for another', async () => {
  const stateDir = newStateDir();
  const keyOf = async (name: string) => {
    const { stdout } = await runCli(['key', 'new', name], environment(stateDir));
    return { headers: { authorization: `Bearer ${stdout.trim()}` } };
  };
  const [alice, bob] = [await keyOf('alice'), await keyOf('bob')];
  await using server = await startServer({ stateDir, env: { GLOVEBOX_AUTH: 'keys', GLOVEBOX_POOL_SIZE: '1' } });
  const { session_id } = await runPython(server, 'open("a", "w").write("a")', {}, alice);
  const made = await answer<Snapshot>(post(server, `/sessions/${session_id}/snapshots`, '', alice));
  const listed = async (who: typeof alice) =>
    await answer<{ snapshots: Snapshot[] }>(fetch(`${server.url}/snapshots`, who));
  expect([await listed(alice), await listed(bob)]).toEqual([{ snapshots: [made] }, { snapshots: [] }]);

  const withId = async (id: string) => {
    const removed = await refusal(fetch(`${server.url}/snapshots/${id}`, { ...bob, method: 'DELETE' }));
    const opened = await refusal(post(server, '/sessions', { from_snapshot: id }, bob));
    return [removed, opened].map(({ message, ...told }) => ({ ...told, message: message.replace(id, 'ID') }));
  };
  const unknown = `snp_${'0'.repeat(24)}`;
  expect(await withId(made.snapshot_id)).toEqual(await withId(unknown));
  expect((await withId(unknown)).map(({ status }) => status)).toEqual([404, 404]);
  const handle = (await answer<Summary>(post(server, '/sessions', '', alice))).session_id;
  for (const path of ['fork', 'snapshots'])
    expect(await refusal(post(server, `/sessions/${handle}/${path}`, '', bob))).toMatchObject({ status: 404 });
  expect((await fetch(`${server.url}/sessions/${handle}/archive`, bob)).status).toBe(404);
  expect((await listed(alice)).snapshots).toEqual([made]);
});

describe('a session as a file', () => {
  test('comes back from it as another session', async () => {
    await using server = await startServer({ env: RESTING });
    await run(
      server,
      'here',
      `${MAKE}\nos.chmod("secret", 0o600)\nos.unlink("holes"); open(b"\\xcf\\xfa", "w").write("1"); open(b"\\xca\\xdb", "w").write("2")`,
    );
    const told = async (id: string) => {
      const { stdout } = await run(server, id, TELL.replace(/^print.*$/m, ''));
      return stdout.replace(/^'.\/out'.*\n/m, '').replaceAll(', 2)', ', 1)');
    };
    const expected = await told('here');
    const sent = await fetch(`${server.url}/sessions/here/archive`);
    expect([sent.status, sent.headers.get('content-type')]).toEqual([200, 'application/x-tar']);
    expect(sent.headers.get('x-left-out')).toBe('out');
    const tar = Buffer.from(await sent.arrayBuffer());
    const made = await fetch(`${server.url}/sessions?name=there`, { method: 'POST', headers: TAR, body: tar });
    expect([made.status, await made.json()]).toMatchObject([201, { session_id: 'there' }]);
    expect(await told('there')).toBe(expected);
    await untilAsleep(server, 'here');
    const again = await fetch(`${server.url}/sessions/here/archive`);
    expect(Buffer.from(await again.arrayBuffer()).length).toBe(tar.length);
    expect(await summaryOf(server, 'here')).toMatchObject({ state: 'hibernated' });
    expect(archivesOf(server)).toHaveLength(2);
  });

  test.each<[string, Partial<Header> & { name: string; content?: string }]>([
    ['".." in its path', { name: '../evil', content: 'x' }],
    ['an absolute path', { name: '/workspace/evil', content: 'x' }],
    ['a hard link', { name: 'evil', type: 'link', linkname: '../first' }],
    ['leads out', { name: 'evil', type: 'symlink', linkname: '/etc/passwd' }],
    ['a device', { name: 'evil', type: 'character-device' }],
  ])('is refused with %s, and nothing is left of it', async (why, entry) => {
    await using server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
    const body = await tarOf({ name: 'first', content: randomBytes(300_000) }, entry);
    const send = (tar: Buffer) =>
      fetch(`${server.url}/sessions?name=evil`, { method: 'POST', headers: TAR, body: tar });
    expect(await refusal(send(body))).toMatchObject({ status: 400, message: expect.stringContaining(why) });
    expect(await refusal(send(body.subarray(0, 100_000)))).toMatchObject({ status: 400 });
    expect((await fetch(`${server.url}/sessions/evil`)).status).toBe(404);
    expect(archivesOf(server)).toEqual([]);
  });
});
