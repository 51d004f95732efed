import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LADDER_MS, openVictim, type Victim } from '../hostile/setup.ts';
import { freePort } from '../support/free-port.ts';
import { callTool, type ErrorAnswer, type Execution, post, runCommand } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';

/** Shells that stay, in real sandboxes. What bash itself does with bad commands is in `sandbox-image/tests/test_shell.py`. */

const LOST = { reason: 'context_ended', lost: ['contexts'] };
let server: Server;
let victim: Victim;
beforeAll(async () => {
  server = await startServer({
    env: { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_OUTPUT_LIMIT: '2000', GLOVEBOX_PIDS: '128' },
  });
  victim = await openVictim(server);
});
afterAll(async () => await server[Symbol.asyncDispose]());

const run = (command: string | readonly string[], args: Record<string, unknown> = {}): Promise<Execution> =>
  runCommand(server, command, { session_id: victim.id, context: 'dev', timeout_s: 20, ...args });

describe('a shell that stays', () => {
  test('keeps directory, variables, functions and jobs, and its first result says that it is new', async () => {
    const first = await run('mkdir -p sub; cd sub; x=41; f() { echo $((x + $1)); }; sleep 100 & echo > made');
    expect(first).toMatchObject({ status: 'ok', context: { name: 'dev', created: true, alive: true } });
    expect(first.files).toEqual([{ path: 'sub/made', size: 1 }]);
    const second = await run('pwd; f 1; jobs | wc -l; kill %1');
    expect(second).toMatchObject({ stdout: '/workspace/sub\n42\n1\n', context: { created: false, alive: true } });
    expect(second).not.toHaveProperty('session_reset');
    expect((await run('exit', { context: 'other' })).context).toMatchObject({ created: true });
  });

  test('gets arguments, input, folder and variables of one call', async () => {
    const args = { stdin: 'one\ntwo\n', env: { GREETING: "it's" }, cwd: '/tmp' };
    expect((await run('read a; echo $a $GREETING; pwd', args)).stdout).toBe("one it's\n/tmp\n");
    expect((await run('read a; echo [$a$GREETING]')).stdout).toBe('[]\n');
    expect((await run(['printf', '%s|', '$HOME', 'a b'])).stdout).toBe('$HOME|a b|');
    expect(await run('echo ran', { cwd: 'no/such' })).toMatchObject({ status: 'error', exit_code: 1, stdout: '' });
  });

  test('has commands that are not there told with advice', async () => {
    const missing = await run('lss -l');
    expect(missing).toMatchObject({ status: 'error', exit_code: 127, error: { name: 'CommandNotFound' } });
    expect(missing.context?.alive).toBe(true);
  });

  test('lives on after a command that ran out of time, which is told with its processes', async () => {
    await run('kept=1; sleep 500 & true');
    const late = await run('echo begun; python3 -c "import time; time.sleep(60)"', { timeout_s: 1 });
    expect(late).toMatchObject({ status: 'timeout', stdout: 'begun\n', termination: { by: 'interrupt' } });
    expect(late.termination?.processes?.map(({ command }) => command)).toContainEqual(
      expect.stringMatching(/^python3 -c/),
    );
    expect(late).not.toHaveProperty('session_reset');
    expect((await run('echo $kept; jobs | wc -l; kill %1')).stdout).toBe('1\n1\n');
  });

  test('keeps long output in a file', async () => {
    const long = await run('seq 1 2000');
    expect(long.truncated?.stdout?.total_bytes).toBe(8893);
    expect((await run(`tail -n 1 /workspace/${long.truncated?.stdout?.file}`)).stdout).toBe('2000\n');
  });

  test('ends with exit, which is told in this result and the next', async () => {
    const last = await run('echo bye; exit 3');
    expect(last).toMatchObject({ status: 'error', exit_code: 3, stdout: 'bye\n', context: { alive: false } });
    expect(last.session_reset).toEqual(LOST);
    const next = await run('echo [$x]');
    expect(next).toMatchObject({ stdout: '[]\n', context: { created: true, alive: true }, session_reset: LOST });
    expect(await run('true')).not.toHaveProperty('session_reset');
  });

  test('is ended by name, and made anew on demand', async () => {
    await run('x=1');
    expect(await run('echo [$x]', { reset_context: true })).toMatchObject({
      stdout: '[]\n',
      context: { created: true },
    });
    const ended = await fetch(`${server.url}/sessions/${victim.id}/contexts/dev`, { method: 'DELETE' });
    expect(ended.status).toBe(204);
    expect((await run('true')).context).toMatchObject({ created: true });
  });

  test('and an interpreter never have one name at a time', async () => {
    await run('x=1');
    const args = { code: 'print(1)', context: 'dev', session_id: victim.id };
    const answer = await post(server, '/execute', { name: 'execute_python', arguments: args });
    expect(answer.status).toBe(400);
    expect(((await answer.json()) as ErrorAnswer).error).toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('is a shell'),
    });
    expect((await run('echo $x')).stdout).toBe('1\n');
    const python = (await callTool(server, 'execute_python', { ...args, reset_context: true })) as Execution;
    expect(python).toMatchObject({ stdout: '1\n', context: { created: true } });
    const command = { command: 'true', context: 'dev', session_id: victim.id };
    const other = await post(server, '/execute', { name: 'run_command', arguments: command });
    expect(((await other.json()) as ErrorAnswer).error.message).toContain('Python interpreter');
    await run('true', { reset_context: true });
  });
});

describe('a hostile command', { timeout: 4 * LADDER_MS }, () => {
  test.each([
    ['ignores interrupts', "trap '' INT TERM HUP; echo begun; sleep 60; sleep 61"],
    [
      'ignores them in groups and sessions of its own',
      "trap '' INT; echo begun; (setsid sleep 60 & set -m; sleep 61 & wait)",
    ],
    ['stops its own shell', 'echo begun; kill -STOP $$'],
  ])('that %s ends with its shell, and nothing of it stays', async (_what, command) => {
    await run('true');
    const ended = await run(command, { timeout_s: 1 });
    expect(ended).toMatchObject({ status: 'timeout', context: { alive: false } });
    expect(ended.session_reset?.lost).toContain('contexts');
    await expect.poll(victim.leftovers, { timeout: 20_000 }).toEqual([]);
    expect(await run('echo well')).toMatchObject({ status: 'ok', stdout: 'well\n', context: { created: true } });
  });

  test('that forks without end stops or ends with its shell, and nothing of it stays', async () => {
    const ended = await run('b() { b & b & wait; }; b 2>/dev/null', { timeout_s: 1 });
    expect(ended.status).toBe('timeout');
    await run('exit', { reset_context: true });
    await expect.poll(victim.leftovers, { timeout: 20_000 }).toEqual([]);
    expect(await run('echo well')).toMatchObject({ status: 'ok', stdout: 'well\n', context: { created: true } });
  });

  test('that forks in the background until no process is left is told of by what fails next, and ended by name', async () => {
    await run('(for n in $(seq 300); do sleep 600 & done) 2>&- & true', { context: 'bomb' });
    const fail = async () => await runCommand(server, 'ls | cat', { session_id: victim.id, timeout_s: 2 });
    await expect.poll(async () => (await fail()).status, { timeout: 30_000 }).not.toBe('ok');
    const failures = [await fail(), await victim.run('import subprocess\nsubprocess.run(["true"])')];
    for (const failed of failures) {
      expect(failed, failed.stderr).toMatchObject({ limit: { name: 'pids', value: 128 } });
      expect(failed.limit?.setting).toContain('until reset_context ends it');
      expect(failed.limit?.setting).toContain('bomb');
    }
    // It ends with its shell, which has more to leave than one that lives on may have.
    expect(await run('ls | cat', { context: 'bomb', timeout_s: 2 })).toMatchObject({ limit: { name: 'pids' } });
    await run('exit', { context: 'bomb', reset_context: true });
    await expect.poll(async () => (await run('ls | wc -l')).status).toBe('ok');
  });

  test('that prints without end is bounded, and its shell lives on', async () => {
    await run('kept=2');
    const flood = await run('yes', { timeout_s: 1 });
    expect(flood).toMatchObject({ status: 'timeout', termination: { by: 'interrupt' } });
    expect(flood.stdout.length).toBeLessThanOrEqual(2100);
    expect((await run('echo $kept')).stdout).toBe('2\n');
  });

  test('that kills the process between the runner and its shell loses that shell alone', async () => {
    await run('y=1', { context: 'other' });
    expect(await run('kill -9 $PPID; sleep 60')).toMatchObject({ status: 'crashed', context: { alive: false } });
    await expect.poll(async () => (await run('echo $y', { context: 'other' })).stdout).toBe('1\n');
    await run('exit', { context: 'other' });
  });
});

test('a shell and its jobs outlive a control plane that is killed', { timeout: 120_000 }, async () => {
  const place = { stateDir: newStateDir(), port: await freePort(), env: { GLOVEBOX_POOL_SIZE: '0' } };
  const first = await startServer(place);
  const args = { session_id: 'kept', context: 'dev', timeout_s: 20 };
  await runCommand(first, 'cd /tmp; x=7; sleep 300 & true', args);
  await first.kill();
  await using second = await startServer(place);
  const after = await runCommand(second, 'pwd; echo $x; jobs | wc -l', args);
  expect(after).toMatchObject({ stdout: '/tmp\n7\n1\n', context: { created: false, alive: true } });
  expect(after).not.toHaveProperty('session_reset');
  const code = { code: '1', context: 'dev', session_id: 'kept' };
  const answer = await post(second, '/execute', { name: 'execute_python', arguments: code });
  expect(((await answer.json()) as ErrorAnswer).error).toMatchObject({ code: 'invalid_input' });
});
