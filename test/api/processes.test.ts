import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { callTool, type ErrorAnswer, type Execution, openSession, post, runCommand } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';

/** Background executions that are listed, sent input and signalled, in real sandboxes. */

interface Listed {
  processes: {
    execution_id: string;
    kind?: string;
    command?: string;
    status: string;
    stdin_open?: true;
    cpu_ms?: number;
    output_bytes?: { stdout: number; stderr: number };
  }[];
}

let server: Server;
let session_id: string;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_MEMORY_MB: '256' } });
  session_id = await openSession(server);
});
afterAll(async () => await server[Symbol.asyncDispose]());

const start = async (command: string | readonly string[], args: Record<string, unknown> = {}) =>
  (await runCommand(server, command, { session_id, background: true, timeout_s: 60, ...args })).execution_id;
const follow = async (id: string, wait_s = 0, at = server) =>
  (await callTool(at, 'get_execution', { execution_id: id, wait_s })) as Execution;
const say = (id: string, args: Record<string, unknown>, at = server) =>
  callTool(at, 'send_input', { execution_id: id, ...args });
/** Status and answer of a route of an execution. */
const send = async (id: string, path: string, body: object, headers: Record<string, string> = {}) => {
  const answer = await post(server, `/executions/${id}/${path}`, body, { headers });
  return [answer.status, await answer.json()] as const;
};
const refusal = async (name: string, args: Record<string, unknown>) => {
  const answer = await post(server, '/execute', { name, arguments: args });
  return { status: answer.status, ...((await answer.json()) as ErrorAnswer).error };
};

describe('a background execution', () => {
  test('is told in a list with its command and state', async () => {
    const burn = 'python3 -c "while __import__(\'time\').process_time() < 0.2: pass"';
    const id = await start(`${burn}; echo listed; sleep 50`);
    await expect.poll(async () => (await follow(id)).stdout).toBe('listed\n');
    const { processes } = (await callTool(server, 'list_processes', { session_id })) as Listed;
    const about = { execution_id: id, kind: 'command', status: 'running' };
    const listed = processes.find((each) => each.execution_id === id);
    expect(listed).toMatchObject({ ...about, output_bytes: { stdout: 7, stderr: 0 } });
    expect(listed?.command).toContain('; echo listed; sleep 50');
    expect(listed?.cpu_ms).toBeGreaterThanOrEqual(180);
    await callTool(server, 'cancel_execution', { execution_id: id });
    const after = (await callTool(server, 'list_processes', { session_id })) as Listed;
    expect(after.processes.find((each) => each.execution_id === id)).toMatchObject({
      status: 'cancelled',
      cpu_ms: expect.any(Number),
      output_bytes: { stdout: 7, stderr: 0 },
    });
  });

  test('reads what it is sent, piece by piece, until its input is closed', async () => {
    const id = await start(['sh', '-c', 'while read line; do echo "got $line"; done; echo end'], {
      stdin_open: true,
      stdin: 'zero\n',
    });
    await expect.poll(async () => (await follow(id)).stdout).toBe('got zero\n');
    await say(id, { text: 'one\nt' });
    await expect.poll(async () => (await follow(id)).stdout).toBe('got zero\ngot one\n');
    await say(id, { text: 'wo\n', close: true });
    expect(await follow(id, 20)).toMatchObject({ status: 'ok', stdout: 'got zero\ngot one\ngot two\nend\n' });
    expect(await refusal('send_input', { execution_id: id, text: 'x' })).toMatchObject({ code: 'invalid_input' });
  });

  test('of Python reads it too', async () => {
    const code = 'print("name?", flush=True)\nprint("hello", input())';
    const args = { code, session_id, background: true, stdin_open: true };
    const { execution_id: id } = (await callTool(server, 'execute_python', args)) as Execution;
    await expect.poll(async () => (await follow(id)).stdout).toBe('name?\n');
    await say(id, { text: 'Ada\n' });
    expect((await follow(id, 20)).stdout).toBe('name?\nhello Ada\n');
  });

  test('gets signals', async () => {
    const id = await start(
      "trap 'echo usr1' USR1; trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done",
    );
    await expect.poll(async () => (await follow(id)).stdout).toBe('ready\n');
    await callTool(server, 'send_signal', { execution_id: id, signal: 'USR1' });
    await expect.poll(async () => (await follow(id)).stdout).toContain('usr1\n');
    await callTool(server, 'send_signal', { execution_id: id, signal: 'TERM' });
    expect(await follow(id, 20)).toMatchObject({ status: 'error', exit_code: 7 });
    const late = await refusal('send_signal', { execution_id: id, signal: 'TERM' });
    expect(late).toMatchObject({ status: 400, message: expect.stringContaining('has ended') });
    expect((await refusal('send_signal', { execution_id: id, signal: 'SEGV' })).status).toBe(400);
  });

  test('is sent input and signals by routes of its own', async () => {
    const script = "trap 'echo usr1' USR1; echo ready; while read line; do echo got $line; done; echo end; exit 3";
    const id = await start(script, { stdin_open: true });
    await expect.poll(async () => (await follow(id)).stdout).toBe('ready\n');
    expect(await send(id, 'signal', { signal: 'USR1' })).toEqual([200, { execution_id: id, signal: 'USR1' }]);
    await expect.poll(async () => (await follow(id)).stdout).toContain('usr1\n');
    const headers = { 'idempotency-key': 'one' };
    // The second is the first, sent again.
    for (const _ of [1, 2])
      expect(await send(id, 'input', { text: 'zwölf\n' }, headers)).toEqual([
        200,
        { execution_id: id, sent_bytes: 7, closed: false },
      ]);
    expect(await send(id, 'input', { close: true })).toMatchObject([200, { sent_bytes: 0, closed: true }]);
    const ended = await follow(id, 20);
    expect(ended).toMatchObject({ exit_code: 3, stdout: expect.stringMatching(/got zwölf\nend\n$/) });
    expect(ended.stdout.match(/got/g)).toHaveLength(1);
    const refused = expect.objectContaining({ error: expect.objectContaining({ code: 'invalid_input' }) });
    expect(await send(id, 'signal', { signal: 'TERM' })).toEqual([400, refused]);
    expect(await send(id, 'input', { text: 'late\n' })).toEqual([400, refused]);
  });

  test.each([
    ['signal', {}, 'needs the argument "signal"'],
    ['signal', { signal: 'SEGV' }, 'cannot use "signal"'],
    ['signal', { signal: 'TERM', execution_id: 'exe_other' }, 'no field "execution_id"'],
    ['input', { text: 7 }, 'cannot use "text"'],
    ['input', {}, 'nothing to send'],
    ['input', { txt: 'x' }, 'no field "txt"'],
  ])('is not sent by /%s what is none: %j', async (path, body, message) => {
    const [status, answer] = await send('exe_AAAAAAAAAAAA', path, body);
    expect([status, (answer as ErrorAnswer).error.message]).toEqual([400, expect.stringContaining(message)]);
  });

  test('that is not there is sent nothing', async () => {
    for (const [path, body] of [
      ['signal', { signal: 'TERM' }],
      ['input', { text: 'x' }],
    ] as const)
      expect(await send('exe_AAAAAAAAAAAA', path, body)).toMatchObject([
        404,
        { error: { code: 'execution_not_found' } },
      ]);
  });

  test('that is stopped ends at its time limit', async () => {
    const id = await start('echo ready; sleep 50', { timeout_s: 3 });
    await expect.poll(async () => (await follow(id)).stdout).toBe('ready\n');
    await callTool(server, 'send_signal', { execution_id: id, signal: 'STOP' });
    expect(await follow(id, 30)).toMatchObject({ status: 'timeout' });
  });

  test('that was begun without open input takes none, and one in a context takes no signals', async () => {
    const id = await start('sleep 50');
    expect(await refusal('send_input', { execution_id: id, text: 'x' })).toMatchObject({
      code: 'invalid_input',
      hint: expect.stringContaining('stdin_open'),
    });
    await callTool(server, 'cancel_execution', { execution_id: id });
    const inContext = await start('sleep 50', { context: 'dev' });
    const refused = await refusal('send_signal', { execution_id: inContext, signal: 'TERM' });
    expect(refused).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('context dev') });
    await callTool(server, 'cancel_execution', { execution_id: inContext });
    const args = { session_id, command: 'cat', stdin_open: true };
    expect((await refusal('run_command', args)).hint).toContain('background');
  });
});

test('input and signals reach a program that an earlier control plane began', { timeout: 120_000 }, async () => {
  const place = { stateDir: newStateDir(), port: await freePort(), env: { GLOVEBOX_POOL_SIZE: '0' } };
  const first = await startServer(place);
  const command = "trap 'echo signalled' USR1; while read line; do echo got $line; done; echo end";
  const args = { session_id: 'kept', background: true, stdin_open: true, timeout_s: 100 };
  const { execution_id: id } = await runCommand(first, command, args);
  await say(id, { text: 'one\n' }, first);
  await expect.poll(async () => (await follow(id, 0, first)).stdout).toBe('got one\n');
  await first.kill();
  await using second = await startServer(place);
  const { processes } = (await callTool(second, 'list_processes', { session_id: 'kept' })) as Listed;
  const used = { cpu_ms: expect.any(Number), output_bytes: { stdout: 8, stderr: 0 } };
  expect(processes).toMatchObject([{ execution_id: id, command, status: 'running', stdin_open: true, ...used }]);
  await callTool(second, 'send_signal', { execution_id: id, signal: 'USR1' });
  // A signal goes another way than input: at the end of that, the program could end before it gets the signal.
  await expect.poll(async () => (await follow(id, 0, second)).stdout).toContain('signalled\n');
  await say(id, { text: 'two\n', close: true }, second);
  const ended = await follow(id, 30, second);
  expect(ended).toMatchObject({ status: 'ok' });
  expect(ended.stdout).toContain('got two\n');
  expect(ended.stdout).toContain('signalled\n');
});
