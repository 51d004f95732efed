import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { untilSaved } from '../support/archives.ts';
import { makeWheel } from '../support/distributions.ts';
import { freePort } from '../support/free-port.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, type Execution, openSession, post, runPython, userOf } from '../support/rest-client.ts';
import { CLI, containersOf, environment, newStateDir, runToEnd, type Server, startServer } from '../support/server.ts';

const PACKAGE = fileURLToPath(new URL('fixtures/glovebox-05e987f.tgz', import.meta.url));
/** Beside the packages of this repository, which are those that the old build needs. */
const PLACE = fileURLToPath(new URL('../../node_modules/.cache/glovebox-05e987f/', import.meta.url));
const OLD = join(PLACE, 'package/dist/cli.js');
/** The old build's own sandbox image is built when the engine has none. */
const IMAGE_LIMIT_MS = 540_000;
const PATIENCE = { timeout: 30_000 };

const WAITING =
  'import os, time\nprint("begun", flush=True)\nwhile not os.path.exists("go"): time.sleep(0.05)\nprint("done")';
const FINISHED = 'print("out"); print("err", file=__import__("sys").stderr); {"answer": 42}';

let index: IndexServer;
let cacheDir: string;

beforeAll(async () => {
  mkdirSync(PLACE, { recursive: true });
  execFileSync('tar', ['-xzf', PACKAGE, '-C', PLACE]);
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  execFileSync(process.execPath, [OLD, 'image'], { env: environment(newStateDir()), stdio: ['ignore', 'ignore', 2] });
}, IMAGE_LIMIT_MS);

afterAll(async () => {
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
  rmSync(PLACE, { recursive: true, force: true });
});

const execution = async (server: Server, id: string, args: object = {}) =>
  (await callTool(server, 'get_execution', { execution_id: id, ...args })) as Execution;

async function stateOf({ url }: Server, id: string): Promise<string | undefined> {
  return ((await (await fetch(`${url}/sessions/${id}`)).json()) as { state?: string }).state;
}

async function answer<T>(response: Promise<Response>): Promise<T> {
  const got = await response;
  if (!got.ok) throw new Error(`${got.status} ${await got.text()}`);
  return (await got.json()) as T;
}

/** What a server of the old build had when it ended. */
interface Left {
  readonly work: string;
  readonly uid: number;
  readonly running: string;
  readonly finished: Execution;
  readonly snapshot: { readonly snapshot_id: string };
}

/** Makes one of each thing that a server keeps. */
async function makeState(server: Server): Promise<Left> {
  const work = await openSession(server, 'work');
  const inWork = { session_id: 'work' };
  await callTool(server, 'install_dependencies', { packages: ['plain-thing'], ...inWork });
  await runPython(server, 'x = [41]; open("notes.txt", "w").write("kept")', { ...inWork, context: 'c' });
  const uid = await userOf(server, 'work');
  const { execution_id: done } = await runPython(server, FINISHED, { ...inWork, background: true });
  const finished = await execution(server, done, { wait_s: 30 });
  const { execution_id: running } = await runPython(server, WAITING, { ...inWork, background: true });
  await expect.poll(async () => (await execution(server, running)).stdout, PATIENCE).toBe('begun\n');
  await untilSaved(server, Date.now());
  const snapshot = await answer<{ snapshot_id: string }>(post(server, '/sessions/work/snapshots', ''));
  await runPython(server, 'import os; os.makedirs("deep/er"); open("deep/er/file", "w").write("slept")', {
    session_id: 'sleeper',
  });
  await expect.poll(() => stateOf(server, 'sleeper'), PATIENCE).toBe('hibernated');
  return { work, uid, running, finished, snapshot };
}

/** Finds all that {@link makeState} made, by a server of this build. */
async function expectState(server: Server, { work, uid, running, finished, snapshot }: Left): Promise<void> {
  const inWork = { session_id: 'work' };
  expect(await openSession(server, 'work')).toBe(work);
  const next = await runPython(server, 'x.append(1); print(sum(x), open("notes.txt").read())', {
    ...inWork,
    context: 'c',
  });
  expect(next).toMatchObject({ status: 'ok', stdout: '42 kept\n', context: { created: false, alive: true } });
  expect(next).not.toHaveProperty('session_reset');
  expect(await userOf(server, 'work')).toBe(uid);
  expect(await runPython(server, 'import plain_thing', inWork)).toMatchObject({ status: 'ok' });

  expect(await execution(server, finished.execution_id)).toEqual(finished);
  expect(await execution(server, running)).toMatchObject({ status: 'running', stdout: 'begun\n' });
  await runPython(server, 'open("go", "w")', inWork);
  expect(await execution(server, running, { wait_s: 30 })).toMatchObject({ status: 'ok', stdout: 'begun\ndone\n' });

  const { snapshots } = await answer<{ snapshots: object[] }>(fetch(`${server.url}/snapshots`));
  expect(snapshots).toEqual([snapshot]);
  await answer(post(server, '/sessions', { name: 'again', from_snapshot: snapshot.snapshot_id }));
  const again = await runPython(server, 'import plain_thing; print(open("notes.txt").read())', { session_id: 'again' });
  expect(again).toMatchObject({ status: 'ok', stdout: 'kept\n' });

  expect(await stateOf(server, 'sleeper')).toBe('hibernated');
  const woken = await runPython(server, 'print(open("deep/er/file").read())', { session_id: 'sleeper' });
  expect(woken).toMatchObject({ status: 'ok', stdout: 'slept\n' });
  expect(woken).not.toHaveProperty('session_reset');
}

describe('state that the build of 05e987f left', () => {
  test.each([
    ['when it was stopped', (server: Server) => server.stop()],
    ['when it was killed', (server: Server) => server.kill()],
  ])('%s is what this build goes on with', { timeout: 180_000 }, async (_how, end) => {
    const env = {
      GLOVEBOX_POOL_SIZE: '0',
      GLOVEBOX_CHECKPOINT_AFTER_S: '1',
      GLOVEBOX_HIBERNATE_AFTER_S: '1',
      GLOVEBOX_INDEX_URL: index.url,
      GLOVEBOX_CACHE_DIR: cacheDir,
    };
    const place = { stateDir: newStateDir(), port: await freePort() };
    await using old = await startServer({ ...place, cli: OLD, env: { ...env, GLOVEBOX_ON_SHUTDOWN: 'keep' } });
    const left = await makeState(old);
    // The container of the session that hibernates is removed a moment later.
    await expect.poll(async () => (await containersOf(old)).length, PATIENCE).toBe(1);
    const containers = await containersOf(old);
    await end(old);

    await using server = await startServer({ ...place, env: { ...env, GLOVEBOX_HIBERNATE_AFTER_S: '300' } });
    expect((await containersOf(server)).map(({ Id }) => Id)).toEqual(containers.map(({ Id }) => Id));
    await expectState(server, left);
  });

  test('its keys are listed and revoked', async () => {
    const env = environment(newStateDir());
    const run = async (cli: string, ...args: string[]) => await runToEnd(process.execPath, [cli, 'key', ...args], env);
    expect(await run(OLD, 'new', 'alice')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^gbk_/) });
    const { stdout } = await run(CLI, 'list');
    expect(stdout).toMatch(/^ID +NAME +CREATED +MAY +EXPIRES\n\S+ +alice +\S+ +run code +never\n$/);
    expect(await run(CLI, 'revoke', 'alice')).toMatchObject({ code: 0, stderr: expect.stringMatching(/^Revoked /) });
    expect((await run(OLD, 'list')).stdout).toBe('');
  });
});
