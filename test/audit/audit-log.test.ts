import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { LEGACY_HTTP, MODERN_HTTP, STDIO } from '../support/mcp-clients.ts';
import { callTool, post, runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';
import { modernHttp } from '../support/task-clients.ts';

let server: Server | undefined;
afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
});

interface Line {
  readonly event: string;
  readonly [field: string]: unknown;
}

function newLog() {
  const stateDir = newStateDir();
  const folder = join(stateDir, 'log');
  mkdirSync(folder);
  const path = join(folder, 'audit.jsonl');
  return { stateDir, path, env: { GLOVEBOX_AUDIT_LOG: path } };
}

function linesOf(path: string): Line[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

async function verify(path: string, ...words: string[]) {
  return await runCli(['audit', 'verify', ...words], environment(newStateDir(), { GLOVEBOX_AUDIT_LOG: path }));
}

async function gauge(name: string): Promise<number> {
  const text = await (await fetch(`${server?.url}/metrics`)).text();
  return Number(new RegExp(`^glovebox_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

const CODE = 'print("not to be kept")';
// printf %s CODE | sha256sum
const CODE_SHA256 = 'b55293e58c32b810510b7d3782a05e9b0c50a1683915ade68042d8aa7d09062b';

it('keeps calls over REST and both generations of MCP, without code, output or contents', async () => {
  const { stateDir, path, env } = newLog();
  server = await startServer({ stateDir, env: { ...env, GLOVEBOX_DEFAULT_SESSION: 'new' } });
  const { session_id: session, execution_id: execution } = await runPython(server, CODE);
  for (const [, connect] of [...LEGACY_HTTP.slice(0, 1), ...MODERN_HTTP.slice(0, 1)]) {
    await using client = await connect(server);
    await client.call('write_file', { session_id: session, path: 'a.txt', content: 'not to be kept' });
    await client.call('list_files', { session_id: session });
    await client.call('run_command', { session_id: session, command: 'exit 3' });
  }
  const url = `${server.url}/sessions/${session}`;
  await fetch(`${url}/files/b.txt`, { method: 'PUT', body: 'not to be kept' });
  await post(server, '/execute', { name: 'delete_file', arguments: { session_id: session, path: 'none.txt' } });
  await fetch(url, { method: 'DELETE' });
  await server.stop();
  const lines = linesOf(path);
  expect(lines.map(({ event }) => event)).toEqual(['start', ...Array(8).fill('call'), 'stop']);
  const calls = lines.filter(({ event }) => event === 'call');
  expect(
    calls.map(({ transport, tool, operation, outcome, error }) => [transport, tool ?? operation, outcome, error]),
  ).toEqual([
    ['rest', 'execute_python', 'ok', undefined],
    ['mcp', 'write_file', 'ok', undefined],
    ['mcp', 'run_command', 'error', undefined],
    ['mcp', 'write_file', 'ok', undefined],
    ['mcp', 'run_command', 'error', undefined],
    ['rest', 'PUT /sessions/:id/files/*', 'ok', undefined],
    ['rest', 'delete_file', 'failed', 'file_not_found'],
    ['rest', 'DELETE /sessions/:id', 'ok', undefined],
  ]);
  expect(calls[0]).toMatchObject({ owner: 'local', session, execution, code_sha256: CODE_SHA256, code_bytes: 23 });
  expect(calls.every((call) => call['session'] === session)).toBe(true);
  expect(readFileSync(path, 'utf8')).not.toContain('not to be kept');
  expect(await verify(path)).toMatchObject({ code: 0, stdout: expect.stringContaining('lines 1 to 10 (10)') });
});

it('keeps how code in the background and tasks end, and who cancelled them by which key', async () => {
  const { stateDir, path, env } = newLog();
  const keyOf = async (name: string) => (await runCli(['key', 'new', name], environment(stateDir))).stdout.trim();
  const [first, second] = [await keyOf('alice'), await keyOf('alice')];
  const listed = await runCli(['key', 'list'], environment(stateDir));
  const ids = [...listed.stdout.matchAll(/alice\.\w+/g)].map(([id]) => `key:${id}`);
  server = await startServer({ stateDir, env: { ...env, GLOVEBOX_AUTH: 'keys' } });
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
  const begin = async (code: string, key: string) =>
    (await runPython(server ?? never(), code, { session_id: 'one', background: true }, as(key))).execution_id;
  const ended = await begin('1 / 0', first);
  await expect.poll(() => linesOf(path).filter(({ event }) => event === 'end')).toHaveLength(1);
  const cancelled = await begin('import time; time.sleep(60)', first);
  await fetch(`${server.url}/executions/${cancelled}`, { method: 'DELETE', ...as(second) });
  const left = await begin('import time; time.sleep(60)', second);
  await fetch(`${server.url}/sessions/one`, { method: 'DELETE', ...as(first) });
  await expect.poll(() => linesOf(path).filter(({ event }) => event === 'end')).toHaveLength(3);
  await server.stop();
  const lines = linesOf(path);
  const endOf = (id: string) => lines.find(({ event, execution }) => event === 'end' && execution === id);
  const [one, other] = ids;
  expect(lines[1]).toMatchObject({ event: 'call', outcome: 'running', execution: ended, login: one, owner: 'alice' });
  expect(endOf(ended)).toMatchObject({ outcome: 'error', session: 'one', owner: 'alice', login: one });
  expect(endOf(cancelled)).toMatchObject({ outcome: 'cancelled', login: one });
  expect(endOf(left)).toMatchObject({ outcome: 'cancelled', login: other });
  const cancel = lines.find(({ operation }) => operation === 'DELETE /executions/:id');
  expect(cancel).toMatchObject({ event: 'call', execution: cancelled, login: other, outcome: 'ok' });
  for (const key of [first, second]) expect(readFileSync(path, 'utf8')).not.toContain(key);
  expect(await verify(path)).toMatchObject({ code: 0 });
});

it('keeps that a client cancels a task, and how the task ends', async () => {
  const { stateDir, path, env } = newLog();
  server = await startServer({ stateDir, env: { ...env, GLOVEBOX_TASK_AFTER_S: '0' } });
  await using client = await modernHttp(server);
  const { taskId } = await client.call('execute_python', { code: 'import time; time.sleep(60)' });
  await client.request('tasks/cancel', { taskId });
  await expect.poll(() => linesOf(path).map(({ event }) => event)).toContain('end');
  const lines = linesOf(path);
  expect(lines.find(({ event }) => event === 'end')).toMatchObject({ outcome: 'cancelled', execution: taskId });
  expect(lines.find(({ operation }) => operation === 'tasks/cancel')).toMatchObject({
    ...{ event: 'call', execution: taskId, owner: 'local', transport: 'mcp', outcome: 'ok' },
  });
});

it('keeps calls over stdio', async () => {
  const { stateDir, path, env } = newLog();
  const [, connect] = STDIO[0] ?? [];
  {
    await using client = await connect?.(stateDir, undefined, env);
    await client?.call('execute_python', { code: CODE });
  }
  await expect.poll(() => linesOf(path).at(-1)).toMatchObject({ event: 'stop' });
  expect(linesOf(path)[1]).toMatchObject({ transport: 'stdio', owner: 'local', code_sha256: CODE_SHA256 });
});

it('says after kill -9 that calls may be missing, and what was cut off of a half line', async () => {
  const { stateDir, path, env } = newLog();
  server = await startServer({ stateDir, env: { ...env, GLOVEBOX_INSTANCE: 'audited' } });
  await runPython(server, CODE);
  await expect.poll(() => linesOf(path)).toHaveLength(2);
  const running = runPython(server, 'import time; time.sleep(60)').catch(() => 'gone');
  await server.kill();
  expect(await running).toBe('gone');
  expect(await verify(path)).toMatchObject({ code: 0 });
  appendFileSync(path, '{"seq":3,"event":"call"');
  expect(await verify(path)).toMatchObject({ code: 1, stdout: expect.stringContaining('line 3: the line is cut off') });
  server = await startServer({ stateDir, env: { ...env, GLOVEBOX_INSTANCE: 'audited' } });
  await runPython(server, CODE);
  await server.stop();
  expect(linesOf(path)[2]).toMatchObject({ event: 'start', after: 'crash', cut_bytes: 23 });
  const whole = await verify(path);
  expect(whole.code).toBe(0);
  // The end of a log can be missing without a trace in it, unless one of its hashes is known.
  const [, hash = ''] = /: ([0-9a-f]{64})$/m.exec(whole.stdout) ?? [];
  const lines = readFileSync(path, 'utf8').split('\n');
  writeFileSync(path, [...lines.slice(0, 3), ''].join('\n'));
  expect(await verify(path, '--holds', hash)).toMatchObject({
    code: 1,
    stdout: expect.stringContaining('the end of the log is missing'),
  });
});

it('goes on while the disk is full, tells it in a gauge, and writes later what waited', async () => {
  const { stateDir, path, env } = newLog();
  symlinkSync('/dev/full', path);
  server = await startServer({ stateDir, env });
  expect((await runPython(server, CODE)).status).toBe('ok');
  expect(await gauge('audit_entries_waiting')).toBeGreaterThanOrEqual(2);
  expect(server.stderr()).toContain('the audit log cannot be written');
  rmSync(path);
  await expect.poll(() => gauge('audit_entries_waiting')).toBe(0);
  await server.stop();
  expect(linesOf(path).map(({ event }) => event)).toEqual(['reopened', 'start', 'call', 'stop']);
  expect(await verify(path)).toMatchObject({ code: 0 });
});

it('refuses calls while it must be written and cannot, but not what only reads', async () => {
  const { stateDir, path, env } = newLog();
  symlinkSync('/dev/full', path);
  server = await startServer({ stateDir, env: { ...env, GLOVEBOX_AUDIT_LOG_REQUIRED: 'yes' } });
  const refused = await post(server, '/execute', { name: 'execute_python', arguments: { code: CODE } });
  expect(refused.status).toBe(503);
  expect(await refused.text()).toContain('The audit log cannot be written');
  expect((await post(server, '/sessions', {})).status).toBe(503);
  expect(await callTool(server, 'list_sessions', {})).toMatchObject({ sessions: [] });
  rmSync(path);
  await expect.poll(async () => (await runPython(server ?? never(), CODE)).status).toBe('ok');
  // Such a call is answered when its line is there.
  expect(linesOf(path).at(-1)).toMatchObject({ tool: 'execute_python', outcome: 'ok' });
});

it('refuses a log that another server writes, and one that cannot be written at all', async () => {
  const { stateDir, path, env } = newLog();
  server = await startServer({ stateDir, env });
  await expect(startServer({ env })).rejects.toThrow(`Another server writes the audit log ${path}`);
  await expect(startServer({ env: { GLOVEBOX_AUDIT_LOG: '/proc/none/audit.jsonl' } })).rejects.toThrow(
    'cannot be opened',
  );
});

function never(): never {
  throw new Error('There is no server.');
}
