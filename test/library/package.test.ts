import { execFile, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
/** What the module of the package `humanize` has that the example needs. */
const HUMANIZE = { 'humanize/__init__.py': 'def naturalsize(n): return f"{n / 1e6:.1f} MB"\n' };

let folder: string;
let index: IndexServer;

/** An empty folder into which the package is installed as npm lays it out, with the dependencies that this clone has. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'glovebox-package-'));
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: ROOT });
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
  const installed = join(folder, 'node_modules/glovebox');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, tarball), '-C', installed, '--strip-components=1']);
  symlinkSync(join(ROOT, 'node_modules'), join(installed, 'node_modules'));
  symlinkSync(join(ROOT, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  cpSync(join(ROOT, 'examples'), folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{}\n');
  index = await IndexServer.start();
  index.add(makeWheel('humanize', '4.0', { files: HUMANIZE }));
});

afterAll(async () => {
  await index[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** A process of that folder, as a shell of the user would start it there. */
function startThere(command: string, args: readonly string[], settings: Readonly<Record<string, string>>) {
  const env = { PATH: process.env['PATH'], HOME: folder, DOCKER_HOST: inject('engineAddress'), ...settings };
  // A group of its own, as a shell gives it: Ctrl-C is for all of it.
  return spawn(command, args, { cwd: folder, env, detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Runs Node in that folder, with everything that it writes in there. @throws when it ends with another status than 0 */
async function runNode(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    DOCKER_HOST: inject('engineAddress'),
    PIP_INDEX_URL: index.url,
  };
  return await run(process.execPath, args, { cwd: folder, env });
}

test('the declarations are those that the library needs, and none of what is within', () => {
  const names = readdirSync(join(folder, 'node_modules/glovebox/dist'), { recursive: true }).map(String);
  const declared = names.filter((name) => name.endsWith('.d.ts'));
  expect(declared).toContain('index.d.ts');
  expect(declared.filter((name) => /^(engines|http|mcp|commands|sandbox)|^glovebox\.d\.ts$/.test(name))).toEqual([]);
});

test('the examples agree with the declarations of the package', () => {
  const options = [
    '--noEmit',
    '--strict',
    '--module',
    'nodenext',
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable',
  ];
  const strict = ['--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--types', 'node'];
  const names = readdirSync(folder).filter((name) => name.endsWith('.mts'));
  expect(names).toHaveLength(5);
  const check = () =>
    execFileSync(process.execPath, [TSC, ...options, ...strict, ...names], { cwd: folder, encoding: 'utf8' });
  expect(check()).toBe('');
});

describe('the example', () => {
  test.each([
    ['run.mts', /^live: step 0\nlive: step 1\nlive: step 2\nIt ended as "ok" after \d+ ms\.\n.*"timeout"\.\n$/],
    ['background.mts', /^0 %\n20 %\n40 %\n60 %\n80 %\n100 %\nIt ended as "ok"\./],
    [
      'packages.mts',
      /^humanize 4\.0 is installed\.\n1\.0 MB\n2\.5 MB\n\nsizes\/in\.txt: 16 bytes\nsizes\/out\.txt: 14 bytes\n$/,
    ],
    ['snapshot.mts', /^The fork has: shared\nonly here\n\nThe snapshot has: shared\n\n$/],
    ['chart.mts', /^The chart is in chart\.png\.\n$/],
  ])('%s runs as it is written', { timeout: 300_000 }, async (name, output) => {
    const { stdout, stderr } = await runNode(name);
    expect(stderr).toBe('');
    expect(stdout).toMatch(output);
    if (name === 'chart.mts') expect(readFileSync(join(folder, 'chart.png')).subarray(1, 4).toString()).toBe('PNG');
  });
});

describe('the package', () => {
  test('can be required by CommonJS', async () => {
    const program =
      "const { Glovebox, GloveboxError } = require('glovebox'); console.log(typeof Glovebox.open, typeof GloveboxError)";
    expect(await runNode('--input-type=commonjs', '-e', program)).toEqual({
      stdout: 'function function\n',
      stderr: '',
    });
  });

  test('runs where Node lacks what came after its version 22', async () => {
    const younger =
      'delete globalThis.DisposableStack; delete globalThis.AsyncDisposableStack; delete globalThis.SuppressedError';
    const program = `
      const { Glovebox } = require('glovebox');
      Glovebox.open({ image: 'slim', poolSize: 0 }).then(async (glovebox) => {
        const session = await glovebox.sessions.open();
        const { stdout } = await session.run('print(6 * 7)');
        const job = await session.start('print(1)');
        await session.files.write('a', 'b');
        const fork = await session.fork();
        console.log(stdout, (await job.result).status, await fork.files.readText('a'));
        await glovebox.close();
      });`;
    const { stdout } = await runNode(
      '--import',
      `data:text/javascript,${younger}`,
      '--input-type=commonjs',
      '-e',
      program,
    );
    expect(stdout).toBe('42\n ok b\n');
  });

  test('gives nothing but the library and its package.json', async () => {
    for (const path of ['glovebox/dist/server.js', 'glovebox/dist/index.js', 'glovebox/src/index.ts']) {
      const { stdout } = await runNode('-e', `import('${path}').catch((error) => console.log(error.code))`);
      expect(stdout, path).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED\n');
    }
    const { stdout } = await runNode('-p', "require('glovebox/package.json').name");
    expect(stdout).toBe('glovebox\n');
    expect(existsSync(join(folder, 'node_modules/glovebox/dist/cli.js'))).toBe(true);
  });
});

test('`npx glovebox` in a folder with the package is a server with its page', { timeout: 60_000 }, async () => {
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true });
  const program = join(folder, 'node_modules/glovebox/dist/cli.js');
  // As npm does it at an installation.
  chmodSync(program, 0o755);
  rmSync(join(folder, 'node_modules/.bin/glovebox'), { force: true });
  symlinkSync(program, join(folder, 'node_modules/.bin/glovebox'));
  const settings = { GLOVEBOX_PORT: '0', GLOVEBOX_IMAGE: 'slim', GLOVEBOX_SETUP: 'never', GLOVEBOX_POOL_SIZE: '0' };
  const server = startThere('npx', ['--offline', 'glovebox'], { ...settings, ...engineSettings() });
  const ended = new Promise((resolve) => server.once('close', resolve));
  let said = '';
  try {
    const page = await new Promise<string>((resolve, reject) => {
      server.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const [, url] = /^Page: +(\S+)\n/m.exec(said) ?? [];
        if (url !== undefined) resolve(url);
      });
      void ended.then(() => reject(new Error(said)));
    });
    expect(said).toContain('Sandboxes are ');
    const answer = await fetch(page, { headers: { accept: 'text/html' } });
    expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining('<script')]);
  } finally {
    if (server.pid !== undefined) process.kill(-server.pid, 'SIGINT');
    await ended;
  }
});

/** What the engine of this test run needs to be used. */
function engineSettings(): Record<string, string> {
  const [runtime, missing] = [inject('runtime'), inject('allowMissing')];
  return { ...(runtime ? { GLOVEBOX_RUNTIME: runtime } : {}), ...(missing ? { GLOVEBOX_ALLOW_MISSING: missing } : {}) };
}
