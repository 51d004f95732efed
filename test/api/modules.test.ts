import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { MODERN_HTTP, textOf } from '../support/mcp-clients.ts';
import { callTool, type Execution, openSession, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

interface Installation {
  status: string;
  packages: { name: string; status: string; version?: string; error?: string; note?: string }[];
  limit?: { name: string; value: number; setting: string };
}

const NO_WINDOWS = 'libGL.so.1: cannot open shared object file: No such file or directory';

let index: IndexServer;
let server: Server;
let cacheDir: string;

async function install(packages: string[], session_id: string): Promise<Installation> {
  return (await callTool(server, 'install_dependencies', { packages, session_id })) as Installation;
}

async function hintOf(code: string, session_id: string, args: Record<string, unknown> = {}) {
  const { error } = await runPython(server, code, { session_id, ...args });
  return (error as { hint?: string } | undefined)?.hint;
}

beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  index.add(makeWheel('calculator', '1.0'));
  index.add(makeWheel('python-docx', '1.0'));
  index.add(makeWheel('docx', '0.2'));
  index.add(makeWheel('pandsa', '1.0'));
  index.add(makeWheel('shouting', '1.0', { commands: { shout: 'A', old: 'A' } }));
  index.add(makeWheel('shouting', '2.0', { commands: { shout: 'B', fresh: 'B' } }));
  index.add(makeWheel('other-command', '1.0', { commands: { other: 'C' } }));
  const cv2 = (text: string) => ({ files: { 'cv2/__init__.py': text } });
  index.add(makeWheel('opencv-python', '4.1', cv2(`raise ImportError(${JSON.stringify(NO_WINDOWS)})\n`)));
  index.add(makeWheel('opencv-python-headless', '4.1', cv2('headless = True\n')));
  index.add(makeWheel('needs-windows', '1.0', { requires: ['opencv-python>=4'] }));
  index.add(makeWheel('huge', '1.0', { requires: ['huge-part'] }), { size: 600_000_000 });
  index.add(makeWheel('huge-part', '2.0'), { size: 2_000_000_000 });
  index.add(makeWheel('swelling', '1.0', { padding: 6_000_000, zeros: 40_000_000 }));
  cacheDir = mkdtempSync(join(tmpdir(), 'glovebox-cache-'));
  server = await startServer({
    env: {
      GLOVEBOX_INDEX_URL: index.url,
      GLOVEBOX_CACHE_DIR: cacheDir,
      GLOVEBOX_DISK_MB: '32',
      GLOVEBOX_CHECKPOINT_AFTER_S: '0',
    },
  });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  rmSync(cacheDir, { recursive: true, force: true });
});

const BY_SUBPROCESS = `import subprocess, sys
subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', 'plain-thing'], check=True)`;

describe('what pip installs can be imported at once in the process that ran it, though it is the first', () => {
  const USE = '\nimport plain_thing; print("version", plain_thing.__version__)';
  test.each<[string, string, Record<string, unknown>?]>([
    ['subprocess', BY_SUBPROCESS],
    ['os.system', 'import os; os.system("pip install -q plain-thing")'],
    ['pip.main', 'import pip; pip.main(["install", "-q", "plain-thing"])'],
    [
      'a Python of its own',
      `import subprocess, sys; run = ${JSON.stringify(BY_SUBPROCESS)} + "\\nimport plain_thing"
subprocess.run([sys.executable, '-c', 'try: import plain_thing\\nexcept ImportError: pass\\n' + run], check=True)`,
    ],
    ['an attempt before', `try: import plain_thing\nexcept ImportError: pass\n${BY_SUBPROCESS}`],
    ['a context’s command', '!pip install -q plain-thing', { context: 'a' }],
    ['a context’s magic', '%pip install -q plain-thing', { context: 'a' }],
    ['a context’s magic for uv', '%uv pip install -q plain-thing', { context: 'a' }],
  ])('by %s', async (_way, code, args) => {
    const session_id = await openSession(server);
    const run = await runPython(server, code + USE, { session_id, ...args });
    expect(run.stdout, run.stderr).toContain('version 1.0\n');
  });

  test('in the background', async () => {
    const session_id = await openSession(server);
    const { execution_id } = await runPython(server, BY_SUBPROCESS + USE, { session_id, background: true });
    const end = await callTool(server, 'get_execution', { execution_id, wait_s: 30 });
    expect(end).toMatchObject({ status: 'ok', stdout: 'version 1.0\n' });
  });
});

describe('the commands of an installed package are on PATH', () => {
  const SHOUT = 'import subprocess; print(subprocess.run(["shout"], capture_output=True, text=True).stdout)';

  test.each([
    ['pip', BY_SUBPROCESS.replace('plain-thing', 'other-command'), 'other'],
    [
      'the code',
      'import os; os.makedirs(".local/bin"); open(".local/bin/mine", "w", opener=lambda p, f: os.open(p, f, 0o755)).write("#!/bin/sh")',
      'mine',
    ],
  ])('though %s has made the folder of commands, and what was there stays', async (_who, code, command) => {
    const session_id = await openSession(server);
    expect(await runPython(server, code, { session_id })).toMatchObject({ status: 'ok' });
    expect(await install(['shouting==1.0'], session_id)).toMatchObject({ status: 'ok' });
    expect((await runPython(server, SHOUT, { session_id })).stdout).toBe('A\n\n');
    expect(await install(['shouting==2.0'], session_id)).toMatchObject({ status: 'ok' });
    expect((await runPython(server, SHOUT, { session_id, context: 'a' })).stdout).toBe('B\n\n');
    const found = `import shutil; print(*(shutil.which(name) is not None for name in ("fresh", "old", "${command}")))`;
    expect((await runPython(server, found, { session_id })).stdout).toBe('True False True\n');
  });

  test('and pip adds, replaces and removes commands after an installation that had none', async () => {
    const session_id = await openSession(server);
    await install(['plain-thing'], session_id);
    const pip = (args: string) => `import os, shutil, sys; code = os.system("pip ${args}")`;
    const found =
      '\nprint(*(shutil.which(name) is not None for name in ("shout", "old", "fresh", "other"))); sys.exit(code)';
    const state = async (args: string) => {
      const { status, stdout } = await runPython(server, pip(args) + found, { session_id });
      return [status, stdout.split('\n').at(-2)];
    };
    expect(await state('install -q other-command')).toEqual(['ok', 'False False False True']);
    await install(['shouting==1.0'], session_id);
    expect(await state('install -q shouting==2.0')).toEqual(['ok', 'True False True True']);
    await install(['shouting==1.0'], session_id);
    expect(await state('uninstall -q -y other-command shouting')).toEqual(['ok', 'False False False False']);
  });
});

describe('opencv-python', () => {
  test.each(['opencv-python', 'needs-windows'])('can be imported after %s was installed', async (name) => {
    const session_id = await openSession(server);
    const installed = await install([name], session_id);
    expect(installed).toMatchObject({ status: 'ok', packages: [{ name, status: 'installed' }] });
    if (name === 'opencv-python') expect(installed.packages[0]?.note).toMatch(/opencv-python-headless was taken/);
    const run = await runPython(server, 'import cv2; print(cv2.headless)', { session_id });
    expect(run.stdout, run.stderr).toBe('True\n');
    expect((await install([name], session_id)).packages[0]?.status).toBe('already_satisfied');
  });

  test('that pip installed has a hint in its error which package to take', async () => {
    const code = `${BY_SUBPROCESS.replace('plain-thing', 'opencv-python')}\nimport cv2`;
    expect(await hintOf(code, await openSession(server))).toContain('["opencv-python-headless"]');
  });
});

test('a name that is a module’s is answered with its package, and that it is installed where it is', async () => {
  const session_id = await openSession(server);
  await install(['python-docx'], session_id);
  const names = ['PIL', 'yaml', 'docx', 'bs4', 'json', 'plain-thing'];
  const { status, packages } = await install(names, session_id);
  const errors = Object.fromEntries(packages.map(({ name, error }) => [name, error ?? '']));
  expect(status).toBe('error');
  expect(errors).toEqual({
    PIL: 'PIL is a module of the package pillow: install pillow.',
    yaml: 'yaml is a module of the package pyyaml: install pyyaml.',
    docx: 'docx is a module of the package python-docx, which is installed already (1.0): import it.',
    bs4: 'bs4 is a module of the package beautifulsoup4: install beautifulsoup4.',
    json: "json is a module of Python's standard library: there is nothing to install.",
    'plain-thing': '',
  });
  // Who asks for a version means the project of that name.
  expect(await install(['docx==0.2'], session_id)).toMatchObject({ status: 'ok' });
});

describe('a ModuleNotFoundError', () => {
  let session_id: string;
  beforeAll(async () => {
    session_id = await openSession(server);
  });

  test.each([
    ['import docx', 'python-docx'],
    ['from sklearn.cluster import KMeans', 'scikit-learn'],
    ['def load():\n  import yaml\nload()', 'pyyaml'],
    ['from google.cloud import storage', 'google-cloud-storage'],
    [
      'try:\n  import cv2\nexcept ImportError as error:\n  raise ImportError("no cv2") from error',
      'opencv-python-headless',
    ],
    ['import importlib; importlib.import_module("bs4.element")', 'beautifulsoup4'],
    ['import calculator', 'calculator'],
  ])('of %j has a hint that names the package, in a script and in a context', async (code, name) => {
    for (const args of [{}, { context: 'a' }]) expect(await hintOf(code, session_id, args)).toContain(`["${name}"]`);
  });

  test.each([
    ['a slip of the pen for a package', 'import pandsa'],
    ['a submodule that is not there', 'import IPython.no_such'],
    ['a module of the standard library', 'import json.no_such'],
    ['a module that the index does not have', 'import no_such_thing'],
    [
      'a module of the session in another folder',
      'import os; os.makedirs("lib"); open("lib/calculator.py", "w"); import calculator',
    ],
    ['a slip of the pen for a file of the session', 'open("calculater.py", "w"); import calculator'],
    ['the code’s own', 'raise ModuleNotFoundError("docx")'],
  ])('of %s has none', async (_what, code) => {
    expect(await hintOf(code, await openSession(server))).toBeUndefined();
  });

  test('has it over MCP and in the background, too', async () => {
    const [, connect] = MODERN_HTTP[0] ?? [];
    await using client = await connect?.(server);
    const answer = await client?.call('execute_python', { code: 'import docx', session_id });
    expect(answer && textOf(answer)).toContain('python-docx');
    const { execution_id } = await runPython(server, 'import docx', { session_id, background: true });
    const end = (await callTool(server, 'get_execution', { execution_id, wait_s: 30 })) as Execution;
    expect(end.error).toMatchObject({ hint: expect.stringContaining('python-docx') });
  });
});

describe('an installation that cannot fit is refused before anything is fetched', () => {
  test('with the sizes that the index names, the disk, and what raises it', async () => {
    const session_id = await openSession(server);
    const { status, packages, limit } = await install(['huge', 'plain-thing'], session_id);
    expect(status).toBe('error');
    expect(packages).toMatchObject([
      { name: 'huge', status: 'failed' },
      { name: 'plain-thing', status: 'installed' },
    ]);
    expect(packages[0]?.error).toMatch(
      /2480 MB or more \(huge-part 2\.0: 1907 MB, huge 1\.0: 572 MB\), and the session's disk of 32 MB has 3\d MB free/,
    );
    expect(limit).toMatchObject({ name: 'disk_mb', value: 32, setting: expect.stringContaining('GLOVEBOX_DISK_MB') });
    expect(index.requests.filter((request) => /^GET \/files\/huge.*\.whl$/.test(request))).toEqual([]);
  });

  test('also where only what is unpacked does not', async () => {
    const { packages } = await install(['swelling'], await openSession(server));
    expect(packages[0]).toMatchObject({ status: 'failed' });
    expect(packages[0]?.error).toMatch(/unpacked it takes 44 MB or more \(swelling 1\.0: 44 MB\)/);
  });
});
