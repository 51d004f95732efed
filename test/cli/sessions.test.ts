import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CommandOptions, newFolder, runCommand, startCommand } from '../support/command.ts';
import { runPython } from '../support/rest-client.ts';
import { CLI, containersOf, environment, newStateDir, runToEnd, type Server, startServer } from '../support/server.ts';

const PATIENCE = { timeout: 60_000 };

let server: Server;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
  env = environment(newStateDir(), { GLOVEBOX_PORT: String(server.port) });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const glovebox = (words: readonly string[], options: Partial<CommandOptions> = {}) =>
  runCommand(words, { env, cwd: newFolder(), ...options });

/** What a command writes that succeeds. */
async function output(words: readonly string[], options: Partial<CommandOptions> = {}): Promise<string> {
  const { code, stdout, stderr } = await glovebox(words, options);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

describe.each([
  ['on a server', []],
  ['by themselves', ['--local']],
])('the commands for sessions %s', (_where, where) => {
  test('list, copy, run in, fork, keep and remove a session', { timeout: 120_000 }, async () => {
    const name = `work${where.length}`;
    await output(['run', ...where, '--session', name, '-c', 'open("a.txt", "w").write("first");']);
    expect(await output(['ps', ...where])).toMatch(new RegExp(`^SESSION .*\n(.*\n)*${name} +(active|hibernated) `));

    const cwd = newFolder();
    mkdirSync(join(cwd, 'data/deep'), { recursive: true });
    writeFileSync(join(cwd, 'data/deep/b.txt'), 'b');
    await output(['cp', ...where, 'data', `${name}:`], { cwd });
    await output(['cp', ...where, 'data/deep/b.txt', `${name}:c.txt`], { cwd });
    await output(['cp', ...where, `${name}:data`, 'back'], { cwd });
    expect(readFileSync(join(cwd, 'back/deep/b.txt'), 'utf8')).toBe('b');
    await output(['cp', ...where, `${name}:/workspace/c.txt`, '.'], { cwd });
    expect(readFileSync(join(cwd, 'c.txt'), 'utf8')).toBe('b');
    expect(await output(['cp', ...where, `${name}:a.txt`, '-'])).toBe('first');

    expect(await output(['exec', ...where, name, 'ls', '-1'])).toBe('a.txt\nc.txt\ndata\n');
    const failed = await glovebox(['exec', ...where, name, 'sh', '-c', 'cat; exit 3'], { stdin: 'piped' });
    expect(failed).toMatchObject({ code: 3, stdout: 'piped' });
    expect(await glovebox(['exec', ...where, name, 'nothing-of-that-name'])).toMatchObject({
      ...{ code: 127, stderr: expect.stringContaining('nothing-of-that-name: command not found') },
    });

    expect(await output(['exec', ...where, '--cwd', 'data', name, '--', 'ls', '-1'])).toBe('deep\n');
    const bytes = ['exec', ...where, name, '--', 'printf', '\\377\\0\\303'];
    const piped = await runToEnd('/bin/sh', ['-c', '"$@" | od -An -tx1', 'sh', process.execPath, CLI, ...bytes], env);
    expect(piped).toMatchObject({ stdout: ' ff 00 c3\n' });

    const snapshot = (await output(['snapshot', ...where, name])).trim();
    expect(await output(['snapshot', ...where])).toMatch(new RegExp(`^SNAPSHOT .*\n${snapshot} +${name} `));
    expect(await output(['fork', ...where, name, `${name}-fork`])).toBe(`${name}-fork\n`);
    expect(await output(['fork', ...where, snapshot, `${name}-old`])).toBe(`${name}-old\n`);
    expect(await output(['exec', ...where, `${name}-old`, 'cat', 'a.txt'])).toBe('first');
    const all = [name, `${name}-fork`, `${name}-old`, snapshot];
    expect(await output(['rm', ...where, ...all])).toBe(`${all.join('\n')}\n`);
    expect(await output(['ps', ...where])).not.toMatch(new RegExp(`^${name}`, 'm'));
    const { GLOVEBOX_STATE_DIR: stateDir = '' } = env;
    if (where.length > 0) expect(await containersOf({ stateDir })).toEqual([]);
  });

  test('say of what is not there that it is not, and make nothing', PATIENCE, async () => {
    for (const words of [
      ['exec', 'nowhere', 'ls'],
      ['cp', 'nowhere:a', '.'],
      ['snapshot', 'nowhere'],
      ['fork', 'nowhere'],
    ]) {
      const [command = '', ...rest] = words;
      const { code, stderr } = await glovebox([command, ...where, ...rest]);
      expect([code, stderr]).toEqual([125, expect.stringMatching(/^glovebox: .*(no session|nowhere)/i)]);
    }
    expect(await glovebox(['rm', ...where, 'nowhere'])).toMatchObject({ code: 125, stdout: '' });
    expect(await output(['ps', ...where])).not.toContain('nowhere');
  });
});

describe('glovebox logs', () => {
  test(
    'shows what the last execution of a session wrote, and one in the background from its beginning',
    PATIENCE,
    async () => {
      await runPython(server, 'import sys; print("out"); print("err", file=sys.stderr); 1/0', { session_id: 'logged' });
      const { code, stdout, stderr } = await glovebox(['logs', 'logged']);
      expect({ code, stdout }).toEqual({ code: 0, stdout: 'out\n' });
      expect(stderr).toMatch(/^err\n(.*\n)*glovebox: ZeroDivisionError/);
      const background = { session_id: 'logged', background: true };
      const { execution_id: id } = await runPython(server, 'for i in range(30000): print(i)', background);
      const followed = await output(['logs', '-f', id]);
      expect(followed.split('\n')).toHaveLength(30_001);
      expect(await output(['logs', id])).toBe(followed);
      expect(await glovebox(['logs', 'exe_nothing'])).toMatchObject({
        code: 125,
        stderr: expect.stringContaining('glovebox ps'),
      });
    },
  );
});

test(
  'without a server, only one command at a time uses the sessions of a machine, and the other says so',
  PATIENCE,
  async () => {
    const own = { ...env, GLOVEBOX_STATE_DIR: newStateDir() };
    const code = 'import sys; print("begun", flush=True); sys.stdin.read()';
    const first = startCommand(['run', '--local', '--session', 'one', '-c', code], { env: own, stdin: 'open' });
    await first.until('begun');
    const { stderr } = await glovebox(['ps', '--local'], { env: own });
    expect(stderr).toContain('Another command uses the sessions of this machine.');
    first.kill('SIGINT');
    expect(await first.ended).toMatchObject({ code: 130 });
  },
);
