import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, runPython } from '../support/rest-client.ts';
import { ensureDataImage } from '../support/sandbox-images.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';

const FIND = "import sys; found = 'pandas' in sys.modules; import pandas; print(found)";
/** Prints whether a second program of the session, which does not name pandas, finds it. */
const LOOK = "import sys; print('pandas' in sys.modules)";

let image: string;
let index: IndexServer;
let server: Server;
let made = 0;

beforeAll(async () => {
  image = await ensureDataImage();
  index = await IndexServer.start();
  index.add(makeWheel('pandas', '99.0'));
  server = await startData();
}, 300_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
});

function startData(env: Record<string, string> = {}, stateDir = newStateDir()): Promise<Server> {
  const constant = { GLOVEBOX_IMAGE: image, GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_INDEX_URL: index.url };
  // The next server of a state directory is the same one only by the same name.
  return startServer({ env: { ...constant, GLOVEBOX_INSTANCE: 'ahead', ...env }, stateDir });
}

interface Health {
  readonly pool: { readonly size: number; readonly ready: number };
  readonly preload: { readonly bytes: number; readonly limit: number; readonly sandboxes: number };
}

async function health(of: Server): Promise<Health> {
  return (await (await fetch(`${of.url}/health`)).json()) as Health;
}

/** Resolves when the pool has loaded what it is to load. */
async function settled(of: Server): Promise<Health> {
  await expect.poll(async () => (await health(of)).pool, { timeout: 30_000 }).toMatchObject({ size: 1, ready: 1 });
  return await health(of);
}

async function runFirst(of: Server, code: string, options: Record<string, unknown> = {}): Promise<string> {
  await settled(of);
  made += 1;
  const { stdout, stderr } = await runPython(of, code, { session_id: `ahead-${made}`, ...options });
  expect(stderr).toBe('');
  return stdout.trim();
}

describe('what a session imported', () => {
  test('the next one finds loaded by its first execution, and only if that imports it', async () => {
    expect(await runFirst(server, FIND)).toBe('False');
    expect((await settled(server)).preload.bytes).toBeGreaterThan(2 ** 20);
    expect(await runFirst(server, FIND)).toBe('True');
    expect(await runFirst(server, LOOK)).toBe('False');
    expect(await runFirst(server, FIND, { context: 'a' })).toBe('True');
  });

  test('a session that does not use it gives its memory back', async () => {
    const { preload } = await settled(server);
    expect(preload.sandboxes).toBeGreaterThan(0);
    await runFirst(server, 'print(1)');
    // Of the pool alone.
    await expect.poll(async () => (await settled(server)).preload.sandboxes, { timeout: 30_000 }).toBe(1);
  });

  test('a package that the session installs wins', async () => {
    await settled(server);
    const session_id = 'ahead-own';
    await callTool(server, 'install_dependencies', { session_id, packages: ['pandas==99.0'] });
    const { stdout } = await runPython(server, 'import pandas; print(pandas.__file__)', { session_id });
    expect(stdout).toContain('/workspace/');
  });

  test('is known after a restart', async () => {
    const { stateDir } = server;
    await server.stop();
    server = await startData({}, stateDir);
    expect(await runFirst(server, FIND)).toBe('True');
  });
});

test('a limit of 0 loads nothing that other sessions imported', async () => {
  await using off = await startData({ GLOVEBOX_PRELOAD_MB: '0' });
  for (let session = 0; session < 3; session += 1) expect(await runFirst(off, FIND)).toBe('False');
  expect((await health(off)).preload).toMatchObject({ bytes: 0, sandboxes: 0 });
});

test('what does not fit into the limit is left out', async () => {
  await using small = await startData({ GLOVEBOX_PRELOAD_MB: '12' });
  for (let session = 0; session < 3; session += 1) expect(await runFirst(small, FIND)).toBe('False');
  expect((await settled(small)).preload.bytes).toBeLessThanOrEqual(12 * 2 ** 20);
});
