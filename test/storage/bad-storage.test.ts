import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { Glovebox, type GloveboxOptions } from '../../src/index.ts';
import { makeCertificate } from '../support/certificate.ts';
import { openFaultyProxy } from '../support/faulty-proxy.ts';
import { runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, startServer } from '../support/server.ts';
import { CREDENTIALS, openStorage, type Storage } from '../support/storage.ts';

const VARIABLES = {
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
};
const MIB = 2 ** 20;
const ROOM_MB = 24;
const before = { ...process.env };

beforeAll(() => Object.assign(process.env, VARIABLES, { DOCKER_HOST: inject('engineAddress') }));
afterAll(() => {
  for (const name of [...Object.keys(VARIABLES), 'DOCKER_HOST']) {
    if (before[name] === undefined) delete process.env[name];
    else process.env[name] = before[name];
  }
});

async function open(storage: Pick<Storage, 'endpoint' | 'env'>, options: GloveboxOptions = {}): Promise<Glovebox> {
  return await Glovebox.open({
    ...{ engine: 'docker', image: 'slim', memoryMb: 512, poolSize: 0, stateDir: newStateDir(), instance: 'bad' },
    ...{ archives: storage.env['GLOVEBOX_ARCHIVES'], archiveEndpoint: storage.endpoint, logLevel: 'error' },
    ...options,
  });
}

/** What `glovebox doctor` says of archives. */
async function doctorSays(storage: Storage): Promise<string> {
  const { stdout } = await runCli(['doctor'], environment(newStateDir(), { ...storage.env, GLOVEBOX_PORT: '0' }));
  return /^(?:ok|warn|fail) +archives .*(?:\n {22}.*)?$/m.exec(stdout)?.[0] ?? stdout;
}

/** A storage that is in a bad way, and how it is well again. */
interface BadWay {
  /** Bytes of the file that is to be saved meanwhile. */
  readonly bytes: number;
  begin(storage: Storage): Promise<void> | void;
  end(storage: Storage): Promise<void> | void;
  readonly code: 'archive_unavailable' | 'capacity_exceeded';
  readonly message: RegExp;
  readonly hint: RegExp;
}

const restart = async (storage: Storage, options?: { readOnly: boolean }) => {
  await storage.kill();
  await storage.start(options);
};

const WAYS: Readonly<Record<string, BadWay>> = {
  full: {
    bytes: 2 * ROOM_MB * MIB,
    begin: () => {},
    end: (storage) => storage.remount('size=200m'),
    code: 'capacity_exceeded',
    message: /is full/,
    hint: /more room/,
  },
  'on a file system that cannot be written to': {
    bytes: MIB,
    begin: (storage) => storage.remount('ro'),
    end: (storage) => storage.remount('rw'),
    code: 'archive_unavailable',
    // The server says no more than that.
    message: /answers with errors \(500 InternalError\)/,
    hint: /read-only/,
  },
  'one that refuses to be written to': {
    bytes: MIB,
    begin: (storage) => restart(storage, { readOnly: true }),
    end: (storage) => restart(storage),
    code: 'archive_unavailable',
    message: /may not be written to \(AccessDenied\)/,
    hint: /allowed to/,
  },
  'standing still': {
    bytes: MIB,
    begin: (storage) => storage.pause(),
    end: (storage) => storage.resume(),
    code: 'archive_unavailable',
    message: /does not answer in time/,
    hint: /its load/,
  },
  gone: {
    bytes: MIB,
    begin: (storage) => storage.kill(),
    end: (storage) => storage.start(),
    code: 'archive_unavailable',
    message: /does not answer \(ECONNREFUSED\)/,
    hint: /GLOVEBOX_ARCHIVE_ENDPOINT/,
  },
};

describe.each(Object.entries(WAYS))('while the storage is %s', (_, way) => {
  test('it is told as that, a session keeps all that it has, and nothing half is saved', async () => {
    await using storage = await openStorage({ roomMb: ROOM_MB });
    await using glovebox = await open(storage);
    await using session = await glovebox.sessions.open();
    await session.run('x = 7', { context: 'main' });
    await session.run(`import os; open("big", "wb").write(os.urandom(${way.bytes}))`);
    await way.begin(storage);
    const told = {
      code: way.code,
      message: expect.stringMatching(way.message),
      hint: expect.stringMatching(way.hint),
    };
    await expect(session.hibernate()).rejects.toMatchObject(told);
    expect(await glovebox.health()).toMatchObject({ archives: told });
    expect((await session.info()).state).toBe('active');
    const kept = 'import os; print(x, os.path.getsize("big"))';
    expect(await session.run(kept, { context: 'main' })).toMatchObject({ stdout: `7 ${way.bytes}\n` });
    const said = await doctorSays(storage);
    // What is full still has room for a byte.
    if (way.code === 'archive_unavailable') expect(said).toMatch(new RegExp(`^fail.*${way.message.source}`));
    await way.end(storage);
    const records = await Array.fromAsync(storage.open('glovebox/').list('sessions/'));
    expect(records).toEqual([]);
    await session.hibernate();
    expect(await glovebox.health()).not.toHaveProperty('archives');
    expect(await session.run('import os; print(os.path.getsize("big"))')).toMatchObject({ stdout: `${way.bytes}\n` });
    expect(await doctorSays(storage)).toMatch(/^ok +archives/);
  }, 240_000);
});

test('a session answers at once while its checkpoint goes to a slow storage, which gets all of it', async () => {
  await using storage = await openStorage();
  await using proxy = await openFaultyProxy(storage.port);
  proxy.msPerMib = 200;
  await using glovebox = await open(
    { env: storage.env, endpoint: `http://127.0.0.1:${proxy.port}` },
    { checkpointAfterS: 1 },
  );
  await using session = await glovebox.sessions.open();
  let sent = 0;
  const begun = new Promise<void>((resolve) => {
    proxy.toServer = (piece) => {
      sent += piece.length;
      if (sent > MIB) resolve();
      return piece;
    };
  });
  proxy.cut();
  await session.run(`import os; open("big", "wb").write(os.urandom(${20 * MIB}))`);
  await begun;
  expect(await session.run('print(1)')).toMatchObject({ stdout: '1\n' });
  expect(sent).toBeLessThan(20 * MIB);
  const saved = async () => (await Array.fromAsync(storage.open('glovebox/').list('sessions/'))).length;
  await expect.poll(saved, { timeout: 60_000 }).toBe(1);
  expect(sent).toBeGreaterThan(20 * MIB);
}, 120_000);

test('a file of a hibernated session that has changed in the storage is told, and is not given to code', async () => {
  await using storage = await openStorage();
  await using glovebox = await open(storage);
  await using session = await glovebox.sessions.open();
  const canary = randomBytes(8).toString('hex');
  await session.run(`open("a.txt", "w").write("${canary}")`);
  await session.hibernate();
  const [path = ''] = storage.files().filter((file) => file.endsWith('.data'));
  writeFileSync(path, randomBytes(100));
  const woken = await session.run('import os; print(os.listdir())');
  expect(woken).toMatchObject({ stdout: '[]\n', reset: { reason: 'archive_broken', lost: ['files', 'packages'] } });
  expect(storage.files().filter((file) => file.includes('/broken/'))).not.toEqual([]);
}, 120_000);

describe('a record that is damaged in the storage', () => {
  test('is written anew by the session that it is of, which loses nothing', async () => {
    await using storage = await openStorage();
    const stateDir = newStateDir();
    {
      await using glovebox = await open(storage, { stateDir });
      const session = await glovebox.sessions.open({ name: 'mine' });
      await session.run('open("a.txt", "w").write("a")');
      await session.hibernate();
      await session.run('open("b.txt", "w").write("b")');
      const bucket = storage.open('glovebox/');
      const [{ key } = { key: '' }] = await Array.fromAsync(bucket.list('sessions/'));
      await bucket.put(key, Buffer.from('{"half'));
      await session.hibernate();
    }
    await using glovebox = await open(storage, { stateDir });
    const session = await glovebox.sessions.open({ name: 'mine' });
    expect(await session.run('import os; print(sorted(os.listdir()))')).toMatchObject({
      stdout: "['a.txt', 'b.txt']\n",
    });
  }, 120_000);
});

describe('a storage with a certificate', () => {
  const certificate = makeCertificate(['IP:127.0.0.1']);

  test('of an authority that this server is told of is used', async () => {
    await using storage = await openStorage({ certificate });
    const stateDir = newStateDir();
    const file = join(stateDir, 'authority.pem');
    writeFileSync(file, certificate.cert);
    for (const name of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS']) {
      const settings = {
        ...storage.env,
        SSL_CERT_FILE: '',
        [name]: file,
        GLOVEBOX_INSTANCE: 'tls',
        GLOVEBOX_HIBERNATE_AFTER_S: '1',
      };
      await using server = await startServer({ env: settings });
      await runPython(server, 'open("a.txt", "w").write("a")', { session_id: name });
      const state = async () =>
        ((await (await fetch(`${server.url}/sessions/${name}`)).json()) as { state: string }).state;
      await expect.poll(state, { timeout: 30_000 }).toBe('hibernated');
      expect(await runPython(server, 'print(open("a.txt").read())', { session_id: name })).toMatchObject({
        stdout: 'a\n',
      });
    }
  }, 120_000);

  test.each([
    ['of an unknown authority', certificate, /certificate that is not accepted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/],
    [
      'of another name',
      makeCertificate(['DNS:other.example']),
      /certificate that is not accepted \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
    ],
  ])('%s is refused at the start, with what to do', async (title, shown, message) => {
    await using storage = await openStorage({ certificate: shown });
    const stateDir = newStateDir();
    const file = join(stateDir, 'authority.pem');
    writeFileSync(file, shown.cert);
    const trust: Record<string, string> = title.includes('name') ? { SSL_CERT_FILE: file } : {};
    const settings = environment(stateDir, { ...storage.env, ...trust, GLOVEBOX_PORT: '0', GLOVEBOX_INSTANCE: 'tls' });
    const { code, stderr } = await runCli(['serve'], settings);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(stderr).toContain('SSL_CERT_FILE');
  });

  test('that is asked without TLS, or one without that is asked with it, is told', async () => {
    await using plain = await openStorage();
    const settings = environment(newStateDir(), {
      ...plain.env,
      GLOVEBOX_ARCHIVE_ENDPOINT: plain.endpoint.replace('http:', 'https:'),
      ...{ GLOVEBOX_PORT: '0', GLOVEBOX_INSTANCE: 'tls' },
    });
    const { code, stderr } = await runCli(['serve'], settings);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/does not speak TLS \(.*\n.*"https"/);
  });
});
