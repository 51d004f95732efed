import { afterAll, beforeAll, expect, test } from 'vitest';
import { newFolder, runCommand as runCli, startCommand } from '../support/command.ts';
import { callTool, type Execution, openSession, runCommand } from '../support/rest-client.ts';
import { environment, newStateDir, type Server, startServer } from '../support/server.ts';

/** The commands that reach what runs in the background, on a server and without one. */

const PATIENCE = { timeout: 60_000 };

let server: Server;
let env: NodeJS.ProcessEnv;
let session_id: string;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
  env = environment(newStateDir(), { GLOVEBOX_PORT: String(server.port) });
  session_id = await openSession(server);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const glovebox = (words: readonly string[], stdin = '') => runCli(words, { env, cwd: newFolder(), stdin });
const start = async (command: string, args: Record<string, unknown> = {}) => {
  const given = { session_id, background: true, stdin_open: true, timeout_s: 60, ...args };
  return (await runCommand(server, command, given)).execution_id;
};
const follow = async (id: string, wait_s = 0) =>
  (await callTool(server, 'get_execution', { execution_id: id, wait_s })) as Execution;
const DONE = { code: 0, signal: null, stdout: '', stderr: '' };

test('what runs in a session is listed, sent input and signalled', PATIENCE, async () => {
  const id = await start("trap 'echo usr1' USR1; echo ready; while read line; do echo got $line; done; echo end");
  await expect.poll(async () => (await follow(id)).stdout).toBe('ready\n');
  const row = new RegExp(
    `^EXECUTION +KIND +STATUS +BEGAN +CODE\n(.*\n)*${id} +command +running +\\d+ s ago +trap 'echo`,
  );
  expect(await glovebox(['ps', session_id])).toMatchObject({ code: 0, stdout: expect.stringMatching(row) });

  expect(await glovebox(['kill', '--signal', 'SIGUSR1', id])).toEqual(DONE);
  await expect.poll(async () => (await follow(id)).stdout).toContain('usr1\n');
  expect(await glovebox(['input', id], 'one\nzw')).toEqual(DONE);
  await expect.poll(async () => (await follow(id)).stdout).toContain('got one\n');
  expect(await glovebox(['input', '--close', id], 'ölf\n')).toEqual(DONE);
  expect(await follow(id, 20)).toMatchObject({ status: 'ok', stdout: expect.stringMatching(/got zwölf\nend\n$/) });
  expect(await glovebox(['kill', id])).toMatchObject({ code: 125, stderr: expect.stringContaining('has ended') });

  const other = await start('exec sleep 50');
  await expect.poll(async () => (await glovebox(['kill', other])).code).toBe(0);
  expect(await follow(other, 20)).toMatchObject({ status: 'crashed', signal: 'SIGTERM' });
});

test('a command is begun in the background, with variables, and followed by its id', PATIENCE, async () => {
  const begun = await glovebox([
    'exec',
    '-d',
    '--stdin-open',
    '--env',
    'WHO=me',
    session_id,
    'bash',
    '-c',
    'read x; echo $WHO $x',
  ]);
  expect(begun).toMatchObject({ code: 0, stdout: expect.stringMatching(/^exe_\S+\n$/) });
  const id = begun.stdout.trim();
  expect(await glovebox(['input', '--close', id], 'too\n')).toEqual(DONE);
  expect(await follow(id, 20)).toMatchObject({ status: 'ok' });
  expect(await glovebox(['logs', id])).toMatchObject({ code: 0, stdout: 'me too\n' });
});

test.each([
  ['a variable without a value', ['--env', 'WHO'], 'sets no variable'],
  ['input that stays open of a command that is waited for', ['--stdin-open'], 'in the background'],
  ['a terminal in the background', ['-d', '-t'], '--detach does not go with --tty'],
  ['a terminal to go back to in the background', ['-d', '--attach', 'trm_1'], '--detach does not go with --tty'],
])('%s is refused, with what to write', PATIENCE, async (_what, words, why) => {
  const refused = await glovebox(['exec', ...words, session_id, 'true']);
  expect(refused).toMatchObject({ code: 125, stderr: expect.stringContaining(why) });
});

test('input is passed on as it comes, and as fast as the program reads', PATIENCE, async () => {
  const id = await start('read line; echo got $line; read line; wc -c');
  const typing = startCommand(['input', '--close', id], { env, stdin: 'open' });
  typing.type('first\n');
  await expect.poll(async () => (await follow(id)).stdout).toBe('got first\n');
  typing.kill('SIGINT');
  expect(await typing.ended).toMatchObject({ code: 130 });
  // More than may wait for a program that does not read.
  const much = `${'x'.repeat(99)}\n`.repeat(60_000);
  const sending = glovebox(['input', '--close', id], `go on\n${much}`);
  expect(await follow(id, 40)).toMatchObject({ stdout: `got first\n${much.length}\n` });
  expect(await sending).toEqual(DONE);
});

test('input waits for a program that does not read yet', PATIENCE, async () => {
  const id = await start('until [ -e go ]; do sleep 0.1; done; wc -c');
  const much = 'x'.repeat(6_000_000);
  const sending = glovebox(['input', '--close', id], much);
  const refused = async () => {
    const call = callTool(server, 'send_input', { execution_id: id, text: 'x'.repeat(1024 * 1024) });
    return await call.then(() => '', String);
  };
  await expect.poll(refused, { timeout: 20_000 }).toContain('session_busy');
  await runCommand(server, 'touch go', { session_id });
  expect(await sending).toEqual(DONE);
  expect(Number((await follow(id, 40)).stdout)).toBeGreaterThanOrEqual(much.length);
});

test('what cannot be sent is refused, and says why', PATIENCE, async () => {
  const id = await start('cat');
  for (const [words, message] of [
    [['ps', 'nowhere'], 'There is no session "nowhere"'],
    [['kill', 'exe_AAAAAAAAAAAA'], 'exe_AAAAAAAAAAAA'],
    [['kill', '-s', 'SEGV', id], 'Write one of INT, TERM'],
    [['input', id], 'There is nothing to send.'],
    [['input', 'exe_AAAAAAAAAAAA', '--close'], 'exe_AAAAAAAAAAAA'],
    [['kill', '--local', id], 'Without a server'],
    [['input', '--local', '--close', id], 'Without a server'],
  ] as const)
    expect(await glovebox(words)).toMatchObject({ code: 125, stdout: '', stderr: expect.stringContaining(message) });
  const latin = startCommand(['input', id], { env, stdin: 'open' });
  latin.type(Buffer.from([0x61, 0xe4, 0x0a]));
  expect(await latin.ended).toMatchObject({ code: 125, stderr: expect.stringContaining('UTF-8') });
  expect(await glovebox(['kill', id, '-s', 'kill'])).toEqual(DONE);
});

test('without a server, a session has nothing in the background', PATIENCE, async () => {
  expect(await glovebox(['run', '--local', '--session', 'alone', '-c', '1'])).toMatchObject({ code: 0 });
  const listed = await glovebox(['ps', '--local', 'alone']);
  expect(listed).toMatchObject({ code: 0, stdout: 'EXECUTION  KIND  STATUS  BEGAN  CODE\n' });
  expect(await glovebox(['rm', '--local', 'alone'])).toMatchObject({ code: 0 });
});
