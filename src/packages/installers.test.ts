import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { makeSdist, makeWheel } from '../../test/support/distributions.ts';
import { openGateway } from '../../test/support/gateway.ts';
import { IndexServer } from '../../test/support/index-server.ts';

const run = promisify(execFile);
const hasPip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;

/** Runs pip as code in a sandbox would, with nothing of the host's configuration. */
async function pip(origin: string, ...packages: string[]) {
  const target = await mkdtemp(join(tmpdir(), 'glovebox-pip-'));
  onTestFinished(() => rm(target, { recursive: true }));
  const options = ['--isolated', '--disable-pip-version-check', '--no-cache-dir', '--no-input'];
  const install = ['install', '--quiet', '--retries', '0', '--index-url', `${origin}/simple/`, '--target', target];
  const env = { PATH: process.env['PATH'] ?? '', HOME: target, PIP_CONFIG_FILE: '/dev/null' };
  const { stderr } = await run('python3', ['-m', 'pip', ...options, ...install, ...packages], { env }).catch(
    (error: { stderr: string }) => error,
  );
  return { stderr, read: (path: string) => readFile(join(target, path), 'utf8') };
}

async function setUp(options: Parameters<typeof openGateway>[1] = {}) {
  const index = await IndexServer.start();
  onTestFinished(() => index[Symbol.asyncDispose]());
  index.add(makeWheel('app', '1.0', { requires: ['Lib_A>=1', 'lib.b'] }));
  index.add(makeWheel('lib-a', '1.0'));
  index.add(makeWheel('lib-a', '2.0', { padding: 5 * 2 ** 20 }));
  index.add(makeWheel('lib-b', '1.0'), { metadata: 'none' });
  index.add(makeSdist('lib-b', '9.0'));
  const gateway = await openGateway([index.url], options);
  onTestFinished(() => gateway[Symbol.asyncDispose]());
  return { index, gateway };
}

test.skipIf(!hasPip).each(['both', 'html'] as const)(
  'pip installs a package and what it needs, and the second time without the index (%s)',
  async (formats) => {
    const { index, gateway } = await setUp();
    index.formats = formats;
    const first = await pip(gateway.origin, 'app');
    expect(await first.read('lib_a/__init__.py')).toContain('2.0');
    expect(await first.read('lib_b/__init__.py')).toContain('1.0');
    const before = index.requests.length;
    const second = await pip(gateway.origin, 'app', 'lib-a<2');
    expect(await second.read('lib_a/__init__.py')).toContain('1.0');
    expect(index.requests.slice(before).filter((request) => !request.includes('lib_a-1.0'))).toEqual([]);
  },
  60_000,
);

test.skipIf(!hasPip)(
  'pip says why a file cannot be had',
  async () => {
    const { index, gateway } = await setUp();
    index.faults.set('/files/app', { kind: 'redirect', to: 'http://169.254.169.254/' });
    expect((await pip(gateway.origin, 'app')).stderr).toContain('private or local address');
    expect(gateway.problems).toMatchObject([{ status: 502 }]);
  },
  60_000,
);
