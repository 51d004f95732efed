import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newFolder, runCommand, startCommand, startOnTerminal } from '../support/command.ts';
import { makeWheel } from '../support/distributions.ts';
import { freePort } from '../support/free-port.ts';
import { IndexServer } from '../support/index-server.ts';
import { containersOf, environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

const PATIENCE = { timeout: 60_000 };
const PROGRAM = `import sys
print(sys.argv[1:])
print("warned", file=sys.stderr)
sys.exit(7) if len(sys.argv) > 1 else 42
`;
const ENDLESS = 'import time\nprint("begun", flush=True)\ntime.sleep(60)';

let index: IndexServer;
let server: Server;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  const settings = { GLOVEBOX_INDEX_URL: index.url, GLOVEBOX_CACHE_DIR: newStateDir(), GLOVEBOX_POOL_SIZE: '1' };
  server = await startServer({ env: settings });
  env = environment(newStateDir(), { GLOVEBOX_PORT: String(server.port), ...settings });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
});

/** The names of the server's sessions. */
async function sessions(): Promise<string[]> {
  const answer = (await (await fetch(`${server.url}/sessions`)).json()) as { sessions: { session_id: string }[] };
  return answer.sessions.map(({ session_id: id }) => id);
}

/** With a server that runs, and with an engine alone. */
describe.each([
  ['on a server', []],
  ['by itself', ['--local']],
])('glovebox run %s', (_where, where) => {
  const run = (words: readonly string[], options: { stdin?: string; cwd?: string } = {}) =>
    runCommand(['run', ...where, ...words], { env, cwd: newFolder(), ...options });

  test('shows what a program writes, gives it its arguments, and ends with its exit code', PATIENCE, async () => {
    const cwd = newFolder();
    writeFileSync(join(cwd, 'program.py'), PROGRAM);
    const result = await run(['program.py', 'a b', '--with', '-x'], { cwd });
    expect(result).toEqual({ code: 7, signal: null, stdout: "['a b', '--with', '-x']\n", stderr: 'warned\n' });
    expect(await run(['program.py'], { cwd })).toMatchObject({ code: 0, stdout: '[]\n', stderr: 'warned\n' });
    expect(readdirSync(cwd)).toEqual(['program.py']);
  });

  test('takes code after -c and from standard input, and nothing of a value in a pipe', PATIENCE, async () => {
    expect(await run(['-c', 'print(__import__("sys").argv[1:]); 6 * 7', 'x'])).toMatchObject({
      ...{ code: 0, stdout: "['x']\n", stderr: '42\n' },
    });
    expect(await run(['-'], { stdin: 'print(input.__name__)' })).toMatchObject({ code: 0, stdout: 'input\n' });
    expect(await run(['-c', ''])).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });

  test(
    'passes on what is piped into it, of any size, and waits for no end of a pipe that nobody reads',
    PATIENCE,
    async () => {
      const stdin = 'x'.repeat(3_000_000);
      const count = 'import sys; print(len(sys.stdin.read()))';
      expect(await run(['-c', count], { stdin })).toMatchObject({ code: 0, stdout: '3000000\n' });
      expect(await run(['-c', 'print(1)'], { stdin: 'open' })).toMatchObject({ code: 0, stdout: '1\n' });
    },
  );

  test('installs packages, sends files along, and fetches what the program makes', PATIENCE, async () => {
    const cwd = newFolder();
    writeFileSync(join(cwd, 'data.csv'), 'a,b\n');
    const code = [
      'import plain_thing, pathlib',
      'for name in ["out/new.txt", ".hidden", "data.csv"]:',
      '    path = pathlib.Path(name); path.parent.mkdir(exist_ok=True)',
      '    path.write_text((path.read_text() if path.exists() else "") + name)',
    ].join('\n');
    const result = await run(['--with', 'plain-thing', '--file', 'data.csv', '--out', 'got', '-c', code], { cwd });
    expect(result).toMatchObject({ code: 0, stderr: expect.stringContaining('left out .hidden') });
    expect(readFileSync(join(cwd, 'got/data.csv'), 'utf8')).toBe('a,b\ndata.csv');
    expect(readFileSync(join(cwd, 'got/out/new.txt'), 'utf8')).toBe('out/new.txt');
    expect(existsSync(join(cwd, 'got/.hidden'))).toBe(false);
    const wrong = await run(['--with', 'nowhere-to-be-found,plain-thing', '-c', 'print(1)']);
    expect(wrong).toMatchObject({ code: 125, stdout: '', stderr: expect.stringContaining('nowhere-to-be-found: ') });
  });

  test('writes pictures to files of names that are free', PATIENCE, async () => {
    const cwd = newFolder();
    const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const code = `import base64; from IPython.display import Image, display\ndisplay(Image(base64.b64decode('${pixel}')))`;
    writeFileSync(join(cwd, 'chart.py'), code);
    writeFileSync(join(cwd, 'chart-1.png'), 'mine');
    expect(await run(['chart.py'], { cwd })).toMatchObject({ code: 0, stderr: 'glovebox: wrote chart-2.png\n' });
    expect(readFileSync(join(cwd, 'chart-1.png'), 'utf8')).toBe('mine');
    expect(readFileSync(join(cwd, 'chart-2.png'), 'latin1')).toContain('PNG');
  });

  test('keeps files and packages in a session of a name, and nothing without one', PATIENCE, async () => {
    const session = ['--session', `kept${where.length}`];
    expect(await run([...session, '-c', 'open("a", "w").write("kept"); print(1)'])).toMatchObject({ code: 0 });
    expect(await run([...session, '-c', 'print(open("a").read())'])).toMatchObject({ code: 0, stdout: 'kept\n' });
    expect(await run(['-c', 'open("a")'])).toMatchObject({ code: 1, stderr: expect.stringContaining('--file') });
    expect((await sessions()).filter((id) => id.startsWith('gbx_'))).toEqual([]);
    const { GLOVEBOX_STATE_DIR: stateDir = '' } = env;
    if (where.length > 0) expect(await containersOf({ stateDir })).toEqual([]);
  });

  test('says how a program ended that did not end by itself', PATIENCE, async () => {
    const late = await run(['--timeout', '1', '-c', 'print("first", flush=True)\nwhile True: pass']);
    expect(late).toMatchObject({
      code: 124,
      stdout: 'first\n',
      stderr: expect.stringContaining('limit of 1 s; --timeout'),
    });
    const crashed = await run(['-c', 'import os, signal; os.kill(os.getpid(), signal.SIGSEGV)']);
    expect(crashed).toMatchObject({ code: 139, stderr: expect.stringContaining('it crashed: SIGSEGV') });
    const missing = await run(['-c', 'import plain_thing']);
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('with --with NAME') });
  });

  test('cancels the program at Ctrl-C, and leaves nothing of it', PATIENCE, async () => {
    const command = startCommand(['run', ...where, '-c', ENDLESS], { env });
    await command.until('begun');
    command.kill('SIGINT');
    expect(await command.ended).toMatchObject({ code: 130, stdout: 'begun\n' });
    expect((await sessions()).filter((id) => id.startsWith('gbx_'))).toEqual([]);
  });

  test('ends quietly when nobody reads its output any more', PATIENCE, async () => {
    const command = startCommand(['run', ...where, '-c', 'while True: print("y" * 1000)'], { env });
    await command.until('yy');
    command.closeStdout();
    expect(await command.ended).toMatchObject({ code: 141, stderr: '' });
  });
});

describe('glovebox run', () => {
  test('ends at once at a second Ctrl-C', PATIENCE, async () => {
    const code =
      'import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint("begun", flush=True)\ntime.sleep(60)';
    const command = startOnTerminal(['run', '--session', 'stubborn', '-c', code], { env });
    await command.until('begun');
    command.type('\u0003');
    await command.until('Cancelling; Ctrl-C again');
    command.type('\u0003');
    expect(await command.ended).toMatchObject({ code: 130 });
    const running = async () => {
      const answer = (await (await fetch(`${server.url}/sessions/stubborn`)).json()) as { running: number };
      return answer.running;
    };
    await expect.poll(running).toBe(0);
  });

  test('says that its server went away', PATIENCE, async () => {
    const other = await startServer({ port: await freePort() });
    const settings = environment(newStateDir(), { GLOVEBOX_URL: other.url });
    const command = startCommand(['run', '-c', ENDLESS], { env: settings });
    await command.until('begun');
    await other.kill();
    expect(await command.ended).toMatchObject({ code: 125, stderr: expect.stringContaining('went away') });
    // A next server removes what that one could not.
    await using _next = await startServer({ port: other.port, stateDir: other.stateDir });
  });

  test(
    'shows progress on a terminal and takes it back, and no sequence that would set or ask it something',
    PATIENCE,
    async () => {
      const code = 'print("\\x1b[31mred\\x1b[0m\\x1b]0;title\\x07\\x1b[6n."); 6 * 7';
      const { code: status, stdout } = await startOnTerminal(['run', '-c', code], { env }).ended;
      expect(status).toBe(0);
      expect(stdout).toContain('Starting a sandbox on the server at');
      const shown = stdout.split('\r\u001b[2K').at(-1);
      expect(shown).toBe('\u001b[31mred\u001b[0m.\r\n42\r\n\u001b[0m\u001b[?25h');
    },
  );

  test('is cancelled by the key of a terminal', PATIENCE, async () => {
    const command = startOnTerminal(['run', '-c', ENDLESS], { env });
    await command.until('begun');
    command.type('\u0003');
    expect(await command.ended).toMatchObject({ code: 130 });
  });
});

describe('glovebox run that cannot run says why, and what to do', () => {
  test.each<[string, string[], Record<string, string>, string]>([
    ['no program', ['run'], {}, 'no program to run.\nName a file'],
    ['no such file', ['run', 'nope.py'], {}, 'There is no file nope.py.\nName a Python file'],
    ['a folder', ['run', '/usr'], {}, 'This is a folder: /usr.'],
    [
      'no such file to send',
      ['run', '--file', 'nope.csv', '-c', '1'],
      {},
      'nope.csv cannot be read: there is no such file.',
    ],
    ['the current folder for its files', ['run', '--out', '.', '-c', '1'], {}, '--out is .: the program would choose'],
    ['a time that is none', ['run', '--timeout', 'soon', '-c', '1'], {}, '--timeout is "soon": no time.'],
    ['a size that is none', ['run', '--memory', '1k', '-c', '1'], {}, '--memory is "1k": no size'],
    [
      'memory of a server',
      ['run', '--memory', '2g', '-c', '1'],
      {},
      'GLOVEBOX_MEMORY_MB. Or leave the server alone with --local',
    ],
    [
      'no engine',
      ['run', '--local', '-c', '1'],
      { DOCKER_HOST: 'unix:///nowhere' },
      'unix:///nowhere (from DOCKER_HOST) does not answer',
    ],
    [
      'no server',
      ['run', '-c', '1'],
      { GLOVEBOX_URL: 'http://127.0.0.1:1' },
      'No server answers at http://127.0.0.1:1',
    ],
    [
      'a key in the address',
      ['run', '-c', '1'],
      { GLOVEBOX_URL: 'http://me:gbk_secret@localhost' },
      'without a key in it',
    ],
    ['a session of no name', ['run', '--session', 'no name', '-c', '1'], {}, 'no name'],
  ])('%s', PATIENCE, async (_what, words, settings, said) => {
    const { code, stdout, stderr } = await runCommand(words, { env: { ...env, ...settings }, cwd: newFolder() });
    expect(stderr).toContain(said);
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).not.toMatch(/\n {4}at |gbk_secret/);
  });

  test('a server that asks for a key', PATIENCE, async () => {
    const stateDir = newStateDir();
    await using guarded = await startServer({ stateDir, env: { GLOVEBOX_AUTH: 'keys', GLOVEBOX_FIRST_KEY: 'alice' } });
    const { stdout: key } = await runCli(['key', 'new', 'bob'], environment(stateDir));
    const words = ['run', '-c', 'print(1)'];
    for (const wrong of [{}, { GLOVEBOX_KEY: 'gbk_wrong' }]) {
      const settings = environment(newStateDir(), { GLOVEBOX_PORT: String(guarded.port), ...wrong });
      const { code, stderr } = await runCommand(words, { env: settings });
      expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringContaining('Set GLOVEBOX_KEY to a key') });
    }
    const right = environment(newStateDir(), { GLOVEBOX_PORT: String(guarded.port), GLOVEBOX_KEY: key.trim() });
    expect(await runCommand(words, { env: right })).toMatchObject({ code: 0, stdout: '1\n' });
  });
});
