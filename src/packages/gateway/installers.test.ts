import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { makeSdist, makeWheel } from '../../../test/support/distributions.ts';
import { openGateway } from '../../../test/support/gateway.ts';
import { IndexServer } from '../../../test/support/index-server.ts';

const run = promisify(execFile);
const hasPip = spawnSync('python3', ['-m', 'pip', '--version']).status === 0;

/** Runs pip as code in a sandbox would, with nothing of the host's configuration. */
async function pip(indexUrl: string, ...packages: string[]) {
  const target = await mkdtemp(join(tmpdir(), 'glovebox-pip-'));
  onTestFinished(() => rm(target, { recursive: true }));
  const options = ['--isolated', '--disable-pip-version-check', '--no-cache-dir', '--no-input'];
  const install = ['install', '--quiet', '--index-url', indexUrl, '--target', target];
  const env = { PATH: process.env['PATH'] ?? '', HOME: target, PIP_CONFIG_FILE: '/dev/null' };
  const { stderr, code } = await run('python3', ['-m', 'pip', ...options, ...install, ...packages], { env }).then(
    ({ stderr }) => ({ stderr, code: 0 }),
    (error: { stderr: string; code: number }) => error,
  );
  return { stderr, code, read: (path: string) => readFile(join(target, path), 'utf8') };
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
    const first = await pip(`${gateway.origin}/simple/`, 'app');
    expect(await first.read('lib_a/__init__.py')).toContain('2.0');
    expect(await first.read('lib_b/__init__.py')).toContain('1.0');
    const before = index.requests.length;
    const second = await pip(`${gateway.origin}/simple/`, 'app', 'lib-a<2');
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
    expect((await pip(`${gateway.origin}/simple/`, 'app')).stderr).toContain('private or local address');
    expect(gateway.problems).toMatchObject([{ status: 422 }]);
  },
  60_000,
);

test.skipIf(!hasPip)(
  'through the gateway pip does as with the index itself: nulls, missing metadata, hashes that do not match',
  async () => {
    const { index, gateway } = await setUp();
    const nulls = { size: null, hashes: null, yanked: null, 'core-metadata': null, 'upload-time': null };
    index.add(makeWheel('nulls', '1.0'), { json: nulls });
    index.add(makeWheel('no-metadata', '1.0'), { metadata: 'missing' });
    index.add(makeWheel('lying', '1.0'), { hash: 'lie' });
    index.add(makeWheel('lying-large', '1.0', { padding: 5 * 2 ** 20 }), { hash: 'lie' });
    index.add(makeWheel('lying-metadata', '1.0'), { metadata: 'lie' });
    index.faults.set('/files/closed', { kind: 'status', status: 403 });
    index.add(makeWheel('closed', '1.0'));
    for (const [name, words] of Object.entries({
      nulls: /^(?!.*ERROR)/s,
      'no-metadata': /404 Client Error/,
      lying: /422 Client Error: .*hash mismatch/,
      'lying-large': /DO NOT MATCH THE HASHES/,
      'lying-metadata': /422 Client Error: .*hash mismatch/,
      closed: /422 Client Error: .* answered 403/,
    })) {
      const [direct, through] = [await pip(index.url, name), await pip(`${gateway.origin}/simple/`, name)];
      expect(through.code, name).toBe(direct.code);
      expect(through.stderr).toMatch(words);
    }
    // Each was asked for once: pip asks again after a 502.
    expect(gateway.problems.map(({ subject }) => subject.replace(/-1\.0.*/, ''))).toEqual([
      ...['no_metadata', 'lying', 'lying_large', 'lying_metadata', 'closed'],
    ]);
  },
  60_000,
);

test.skipIf(!hasPip)(
  'pip says of a project that has only source archives what it says where it takes wheels only',
  async () => {
    const { index, gateway } = await setUp();
    index.add(makeSdist('raw', '1.0'));
    const [direct, through] = [
      await pip(index.url, '--only-binary=:all:', 'raw'),
      await pip(`${gateway.origin}/simple/`, 'raw'),
    ];
    expect(through).toMatchObject({ code: direct.code, stderr: direct.stderr });
    expect(gateway.problems).toMatchObject([{ subject: 'raw', message: expect.stringContaining('_SDISTS=allow') }]);
  },
  60_000,
);
