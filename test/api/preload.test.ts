import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, openSession, runPython } from '../support/rest-client.ts';
import { ensureDataImage } from '../support/sandbox-images.ts';
import { environment, runCli, type Server, startServer } from '../support/server.ts';

/** Prints whether pandas was there before its import, and the import's milliseconds. */
const IMPORT = `
import sys, time
found = 'pandas' in sys.modules
started = time.perf_counter()
import pandas
print(found, (time.perf_counter() - started) * 1000)
`;
/** Prints the memory of all processes of the session, files left out, in KiB. */
const MEMORY = `
import os
total = 0
for name in filter(str.isdigit, os.listdir('/proc')):
    try: total += sum(int(line.split()[1]) for line in open(f'/proc/{name}/status') if line.startswith('RssAnon'))
    except OSError: pass
print(total)
`;

let image: string;
let index: IndexServer;
let server: Server;
let cacheDir: string;

beforeAll(async () => {
  image = await ensureDataImage();
  index = await IndexServer.start();
  index.add(makeWheel('numpy', '99.0'));
  index.add(makeWheel('plain-thing', '1.0'));
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  server = await startData({ GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: cacheDir });
}, 300_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
});

function startData(env: Record<string, string> = {}): Promise<Server> {
  // A checkpoint would be measured as well.
  const constant = { GLOVEBOX_IMAGE: image, GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_CHECKPOINT_AFTER_S: '0' };
  // What other sessions have imported has tests of its own.
  const own = { GLOVEBOX_PRELOAD_MB: '0' };
  return startServer({ env: { ...constant, ...own, ...env } });
}

async function importPandas(session_id: string, target = server): Promise<{ found: boolean; ms: number }> {
  const { stdout, stderr } = await runPython(target, IMPORT, { session_id });
  expect(stderr).toBe('');
  const [found, ms] = stdout.split(' ');
  return { found: found === 'True', ms: Number(ms) };
}

describe('by default', () => {
  test('what an execution has imported, the next finds loaded, a context too', async () => {
    const session_id = await openSession(server);
    const first = await importPandas(session_id);
    const second = await importPandas(session_id);
    expect(first.found).toBe(false);
    expect(second.found).toBe(true);
    expect(second.ms).toBeLessThan(first.ms / 15);
    const code = `import sys; print('pandas' in sys.modules)`;
    expect((await runPython(server, code, { session_id, context: 'a' })).stdout).toBe('True\n');
  });

  test('a session that imports nothing of weight takes no more memory than one without preloading', async () => {
    await using plain = await startData({ GLOVEBOX_PRELOAD: 'none' });
    const use = async (target: Server) => {
      const session_id = await openSession(target);
      for (let run = 0; run < 3; run += 1) await runPython(target, 'import json, csv', { session_id });
      return async () => Number((await runPython(target, MEMORY, { session_id })).stdout);
    };
    const measure = await use(server);
    const most = (await (await use(plain))()) * 1.1;
    // What a slow request had started beside it ends a second after that.
    await expect.poll(measure, { timeout: 10_000 }).toBeLessThan(most);
  });

  test('where the modules would take a quarter of the memory, they are not kept, and the log says so', async () => {
    await using small = await startData({ GLOVEBOX_MEMORY_MB: '128', GLOVEBOX_POOL_SIZE: '0' });
    const session_id = await openSession(small);
    for (let run = 0; run < 3; run += 1) expect(await importPandas(session_id, small)).toMatchObject({ found: false });
    await expect.poll(() => small.stderr()).toMatch(/could not be preloaded .*more than a quarter of the memory/);
  });

  test('random numbers differ between executions', async () => {
    const session_id = await openSession(server);
    await importPandas(session_id);
    expect(await importPandas(session_id)).toMatchObject({ found: true });
    const code =
      'import random, numpy, uuid, ssl\nprint(random.random(), numpy.random.rand(), uuid.uuid4(), ssl.RAND_bytes(8))';
    const printed = await Promise.all([1, 2, 3].map(() => runPython(server, code, { session_id })));
    const columns = printed.map(({ stdout }) => stdout.trim().split(' '));
    for (const at of [0, 1, 2, 3]) expect(new Set(columns.map((column) => column[at])).size).toBe(3);
  });

  test('another numpy that the session installs is the one that is imported', async () => {
    const session_id = await openSession(server);
    await importPandas(session_id);
    expect(await importPandas(session_id)).toMatchObject({ found: true });
    await callTool(server, 'install_dependencies', { packages: ['numpy==99.0'], session_id });
    const { stdout, stderr } = await runPython(server, 'import numpy; print(numpy.__version__, numpy.__file__)', {
      session_id,
    });
    expect(stdout, stderr).toMatch(/^99\.0 \/workspace\//);
  });

  test('what pip installs first in a session with loaded modules can be imported at once', async () => {
    const session_id = await openSession(server);
    await importPandas(session_id);
    expect(await importPandas(session_id)).toMatchObject({ found: true });
    const code =
      'import os; os.system("pip install -q plain-thing"); import plain_thing; print(plain_thing.__version__)';
    const { stdout, stderr } = await runPython(server, code, { session_id });
    expect(stdout, stderr).toBe('1.0\n');
  });

  test('code that kills the process with the loaded modules harms nothing', async () => {
    const session_id = await openSession(server);
    await importPandas(session_id);
    expect(await importPandas(session_id)).toMatchObject({ found: true });
    const code = `import os
os.kill(int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1]), 9)
print('here')`;
    expect(await runPython(server, code, { session_id })).toMatchObject({ status: 'ok', stdout: 'here\n' });
    const after = await runPython(server, 'print(1)', { session_id });
    expect(after).toMatchObject({ status: 'ok', stdout: '1\n' });
    expect(after).not.toHaveProperty('session_reset');
  });
});

describe('a list', () => {
  test('is loaded before the first execution; a module that is not there is logged, and skipped', async () => {
    await using listing = await startData({ GLOVEBOX_PRELOAD: 'no_such_module,pandas' });
    const session_id = await openSession(listing);
    await expect.poll(async () => (await importPandas(session_id, listing)).found, { timeout: 20_000 }).toBe(true);
    expect(listing.stderr()).toMatch(/could not be preloaded .*module=no_such_module .*ModuleNotFoundError/);
  });

  test('of what is no name is refused by the name of the setting', async () => {
    const { code, stderr } = await runCli(['serve'], environment(server.stateDir, { GLOVEBOX_PRELOAD: 'pandas;os' }));
    expect(code).not.toBe(0);
    expect(stderr).toContain('GLOVEBOX_PRELOAD');
  });
});
