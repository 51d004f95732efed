import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Execution } from '../support/rest-client.ts';
import { containersOf, environment, newStateDir, runCli, startServer } from '../support/server.ts';
import { type StdioProcess, startStdio } from '../support/stdio-process.ts';
import { TOOL_NAMES } from '../support/tool-names.ts';

const callPython = async (process: StdioProcess, code: string, args: object = {}) =>
  (await process.request('tools/call', { name: 'execute_python', arguments: { code, ...args } })).result as {
    isError?: boolean;
    content: { text: string }[];
    structuredContent: Execution;
    _meta?: Record<string, unknown>;
  };

/** What instances have left in a state directory. */
const tracesIn = (stateDir: string) => {
  const instances = join(stateDir, 'instances');
  return existsSync(instances) ? readdirSync(instances) : [];
};

test('nothing but JSON-RPC comes on stdout, whatever the code prints', async () => {
  const process = startStdio(newStateDir(), { GLOVEBOX_LOG_LEVEL: 'debug' });
  await process.initialize();
  await process.request('tools/list');
  const result = await callPython(
    process,
    'import os\nos.write(1, b"\\xff\\n\\r\\x00{}\\n" * 1000); print("€" * 50_000)',
  );
  expect(result.structuredContent.status).toBe('ok');
  process.write('no JSON\n{"jsonrpc": "2.0"}\n[]\n\n');
  expect((await callPython(process, 'print(1)')).structuredContent.stdout).toBe('1\n');
  await process.end();
  expect(process.lines.length).toBeGreaterThanOrEqual(4);
  for (const line of process.lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' });
});

test('a setting that the engine cannot meet is what the first call is told', async () => {
  const process = startStdio(newStateDir(), { GLOVEBOX_CPUS: '1023.5' });
  await process.initialize();
  const result = await callPython(process, 'print(1)');
  expect(result).toMatchObject({
    isError: true,
    content: [{ text: expect.stringMatching(/GLOVEBOX_CPUS is 1023\.5/) }],
  });
  await process.end();
});

test('no client of an engine or of an index, and no HTTP server, is loaded before the first call', async () => {
  // Says what is loaded on stderr, which stdio leaves to people.
  const trace = `import { registerHooks } from 'node:module';
    registerHooks({ load: (url, context, next) => (process.stderr.write(url + '\\n'), next(url, context)) });`;
  const options = `--import=data:text/javascript;base64,${Buffer.from(trace).toString('base64')}`;
  const { code, stderr } = await runCli(['stdio'], environment(newStateDir(), { NODE_OPTIONS: options }));
  expect(code).toBe(0);
  expect(stderr).toContain('dist/commands/stdio.js');
  expect(stderr).not.toMatch(/node_modules\/(hono|@hono|dockerode|undici)\//);
});

test('an engine is not even asked before the first call', async () => {
  const stateDir = newStateDir();
  const address = join(stateDir, 'engine.sock');
  let connections = 0;
  const fake = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => fake.listen(address, resolve));
  const process = startStdio(stateDir, { DOCKER_HOST: `unix://${address}` });
  await process.initialize();
  await process.request('tools/list');
  await process.request('ping');
  expect(connections).toBe(0);
  const result = await callPython(process, 'print(1)');
  expect(connections).toBeGreaterThan(0);
  expect(result.isError).toBe(true);
  expect(result._meta?.['glovebox/error']).toMatchObject({
    code: 'engine_unavailable',
    hint: expect.stringMatching(/\w/),
  });
  expect(await process.end()).toEqual({ code: 0, signal: null });
  fake.close();
});

test('without an engine the first call says what to do, and the process lives on', async () => {
  const process = startStdio(newStateDir(), { DOCKER_HOST: 'unix:///nowhere/docker.sock' });
  await process.initialize();
  for (let call = 0; call < 2; call += 1) {
    const result = await callPython(process, 'print(1)');
    expect(result.isError).toBe(true);
    expect(result.content[0]?.text).toMatch(/\/nowhere\/docker\.sock.*\n.+/s);
  }
  expect((await process.request('tools/list')).result?.['tools']).toHaveLength(TOOL_NAMES.length);
  await process.end();
});

describe('the end of the process', () => {
  const endings: [string, (process: StdioProcess) => Promise<unknown>][] = [
    ['EOF', (process) => process.end()],
    ['SIGTERM', (process) => process.kill('SIGTERM')],
    ['SIGINT', (process) => process.kill('SIGINT')],
    ['SIGHUP', (process) => process.kill('SIGHUP')],
  ];

  test.each(endings)('by %s leaves no container, lock or state, and is no failure', async (_how, end) => {
    const stateDir = newStateDir();
    const process = startStdio(stateDir);
    await process.initialize();
    await callPython(process, 'print(1)');
    expect((await containersOf({ stateDir })).length).toBeGreaterThan(0);
    expect(tracesIn(stateDir)).not.toEqual([]);
    expect(await end(process)).toEqual({ code: 0, signal: null });
    expect(await containersOf({ stateDir })).toEqual([]);
    expect(tracesIn(stateDir)).toEqual([]);
  });

  test.each(endings)('by %s in the midst of a call leaves nothing either', async (_how, end) => {
    const stateDir = newStateDir();
    const process = startStdio(stateDir);
    await process.initialize();
    await callPython(process, 'print(1)');
    const call = callPython(process, 'open("begun", "w"); import time; time.sleep(60)').catch(() => undefined);
    const begun = async () =>
      (await callPython(process, 'import os; print(os.path.exists("begun"))')).structuredContent;
    await expect.poll(begun, { timeout: 10_000 }).toMatchObject({ stdout: 'True\n' });
    expect(await end(process)).toMatchObject({ signal: null });
    expect(await containersOf({ stateDir })).toEqual([]);
    expect(tracesIn(stateDir)).toEqual([]);
    void call;
  });

  test('by EOF right after the first call was sent leaves nothing, though sandboxes were being made', async () => {
    const stateDir = newStateDir();
    const process = startStdio(stateDir);
    await process.initialize();
    void callPython(process, 'print(1)').catch(() => undefined);
    await expect.poll(async () => (await containersOf({ stateDir })).length, { interval: 10 }).toBeGreaterThan(0);
    expect(await process.end()).toMatchObject({ signal: null });
    expect(await containersOf({ stateDir })).toEqual([]);
    expect(tracesIn(stateDir)).toEqual([]);
  });

  test('by SIGKILL leaves what the next start of anything over that state directory removes', async () => {
    const stateDir = newStateDir();
    const process = startStdio(stateDir);
    await process.initialize();
    await callPython(process, 'print(1)');
    await process.kill('SIGKILL');
    const left = (await containersOf({ stateDir })).map(({ Id }) => Id);
    expect(left.length).toBeGreaterThan(0);
    await using _server = await startServer({ stateDir, env: { GLOVEBOX_POOL_SIZE: '0' } });
    await expect.poll(async () => await containersOf({ stateDir }), { timeout: 10_000 }).toEqual([]);
  });
});
