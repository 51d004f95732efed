import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { Glovebox, type GloveboxOptions } from '../../src/index.ts';
import { freePort } from '../support/free-port.ts';
import { environment, newStateDir, runCli } from '../support/server.ts';
import { CREDENTIALS, openStorage, type Storage } from '../support/storage.ts';

const VARIABLES = {
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
};
const before = { ...process.env };

let storage: Storage;
beforeAll(async () => {
  Object.assign(process.env, VARIABLES, { DOCKER_HOST: inject('engineAddress') });
  storage = await openStorage();
}, 600_000);
afterAll(async () => {
  for (const name of [...Object.keys(VARIABLES), 'DOCKER_HOST']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
  await storage[Symbol.asyncDispose]();
});

const newCanary = () => `canary-${randomBytes(8).toString('hex')}`;

async function open(instance: string, options: GloveboxOptions = {}): Promise<Glovebox> {
  return await Glovebox.open({
    ...{ engine: 'docker', image: 'slim', memoryMb: 512, poolSize: 0, stateDir: newStateDir(), instance },
    ...{ archives: storage.env['GLOVEBOX_ARCHIVES'], archiveEndpoint: storage.endpoint, checkpointAfterS: 1 },
    ...options,
  });
}

test('sessions hibernate into a bucket, wake, are copied, and outlive the server with its disk', async () => {
  const canary = newCanary();
  {
    await using glovebox = await open('one');
    const session = await glovebox.sessions.open({ name: 'mine' });
    await session.run(
      `open("a.txt", "w").write("${canary}"); open("big", "wb").write(__import__("os").urandom(20_000_000))`,
    );
    await session.hibernate();
    expect((await session.info()).state).toBe('hibernated');
    await session.snapshot();
    const woken = await session.run('print(open("a.txt").read(), len(open("big", "rb").read()))');
    expect(woken).toMatchObject({ status: 'ok', stdout: `${canary} 20000000\n` });
    expect(woken.reset).toBeUndefined();
    await session.run('open("a.txt", "w").write("later")');
    await session.hibernate();
  }
  {
    await using glovebox = await open('one');
    const [snapshot] = await glovebox.snapshots.list();
    const session = await glovebox.sessions.open({ name: 'mine' });
    expect(session.created).toBe(false);
    expect(await session.run('print(open("a.txt").read())')).toMatchObject({ stdout: 'later\n' });
    const forked = await glovebox.sessions.open({ snapshot: snapshot?.id ?? '' });
    expect(await forked.run('print(open("a.txt").read())')).toMatchObject({ stdout: `${canary}\n` });
  }
  {
    await using glovebox = await open('two');
    const [snapshot, ...more] = await glovebox.snapshots.list();
    expect(more).toEqual([]);
    expect(glovebox.sessions.list()).toEqual([]);
    await glovebox.snapshots.delete(snapshot?.id ?? '');
    expect(await glovebox.snapshots.list()).toEqual([]);
  }
}, 240_000);

test('a session stays awake with all that it has, or hibernated with it, while the storage is away', async () => {
  await using glovebox = await open('away');
  await using session = await glovebox.sessions.open();
  await session.run('open("a.txt", "w").write("a")');
  await session.run('x = 1', { context: 'main' });
  await storage.kill();
  const gone = { code: 'archive_unavailable' };
  await expect(session.hibernate()).rejects.toMatchObject(gone);
  await expect(glovebox.snapshots.list()).rejects.toMatchObject(gone);
  expect(await session.run('print(x)', { context: 'main' })).toMatchObject({ stdout: '1\n' });
  await storage.start();
  await session.hibernate();
  expect(await session.run('print(open("a.txt").read())')).toMatchObject({
    stdout: 'a\n',
    reset: { reason: 'hibernated', lost: ['contexts'] },
  });
  await session.hibernate();
  await storage.kill();
  await expect(session.run('print(1)')).rejects.toMatchObject(gone);
  await storage.start();
  const woken = await session.run('print(open("a.txt").read())');
  expect(woken).toMatchObject({ stdout: 'a\n' });
  expect(woken.reset?.lost ?? []).not.toContain('files');
}, 300_000);

test('with a key, neither contents nor names of files are in the bucket', async () => {
  const stateDir = newStateDir();
  const archiveKeyFile = join(stateDir, 'archives.key');
  writeFileSync(archiveKeyFile, `${randomBytes(32).toString('base64')}\n`);
  const canary = newCanary();
  await using glovebox = await open('sealed', { stateDir, archiveKeyFile });
  await using session = await glovebox.sessions.open({ name: 'sealed' });
  await session.run(`open("${canary}.txt", "w").write("${canary}")`);
  await session.hibernate();
  expect(storage.holds('"session_id":"sealed"')).toBe(true);
  expect(storage.holds(canary)).toBe(false);
  expect(await session.run(`print(open("${canary}.txt").read())`)).toMatchObject({ stdout: `${canary}\n` });
});

test.each([
  [{ AWS_ACCESS_KEY_ID: '' }, 'AWS_ACCESS_KEY_ID'],
  [{ GLOVEBOX_ARCHIVES: 's3:/bucket' }, 's3://bucket/prefix'],
  [{ GLOVEBOX_ARCHIVE_KEY_FILE: '/nowhere' }, 'holds no keys'],
])('a server with %j says what to correct', async (env, said) => {
  const settings = environment(newStateDir(), { ...storage.env, GLOVEBOX_PORT: String(await freePort()), ...env });
  const { code, stderr } = await runCli(['serve'], settings);
  expect(code).not.toBe(0);
  expect(stderr).toContain(said);
});
