import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand } from '../support/command.ts';
import { startOnPty } from '../support/pty.ts';
import { environment, newStateDir, type Server, startServer } from '../support/server.ts';

const PATIENCE = { timeout: 90_000 };

let server: Server;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1' } });
  env = environment(newStateDir(), { GLOVEBOX_PORT: String(server.port), TERM: 'xterm' });
  const made = await runCommand(['run', '--session', 'mine', '-c', 'pass'], { env });
  expect(made.code).toBe(0);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('glovebox exec -it', () => {
  test('is a shell of the session, of the size of the terminal that shows it', PATIENCE, async () => {
    const shell = startOnPty(['exec', '-it', 'mine'], env);
    await shell.until(/[$#] /);
    shell.type('stty size; echo a-$((1+1)) | cat\r');
    await shell.until('a-2');
    expect(shell.output).toMatch(/24 80\r+\n/);
    shell.resize(40, 100);
    shell.type('sleep 0.2; stty size\r');
    await shell.until('40 100');
    // The program says itself that it has begun: Ctrl-C before that reaches bash alone, which may then wait for its end.
    shell.type('sh -c "echo started-$((1+1)); exec sleep 1000"\r');
    await shell.until('started-2');
    shell.type('\x03');
    await shell.until(/\^C[\s\S]*[$#] /);
    shell.type('echo still-$((1+2))\r');
    await shell.until('still-3');
    shell.type('exit 7\r');
    expect((await shell.ended).code).toBe(7);
  });

  test('is left by Ctrl-P Ctrl-Q, goes on, and shows on return what was printed meanwhile', PATIENCE, async () => {
    const first = startOnPty(['exec', '-it', 'mine'], env);
    await first.until(/[$#] /);
    first.type("echo be''gun; sleep 1; echo mean''while\r");
    await first.until('begun');
    first.type('\x10\x11');
    expect((await first.ended).code).toBe(0);
    const id = /glovebox exec -it --attach (trm_\S+) mine/.exec(first.output)?.[1] ?? '';
    const second = startOnPty(['exec', '-it', '--attach', id, 'mine'], env);
    await second.until('meanwhile');
    second.type('\x10');
    second.type("echo b''ack\r");
    await second.until('back');
    second.type('exit\r');
    expect((await second.ended).code).toBe(0);
    const third = startOnPty(['exec', '-it', '--attach', 'trm_none', 'mine'], env);
    expect((await third.ended).code).toBe(125);
    expect(third.output).toContain('no terminal');
  });

  test(
    'runs a program that is named, and shows nothing that would harm the terminal of a person',
    PATIENCE,
    async () => {
      const hostile = '\\033]0;title\\007\\033]52;c;ZXZpbA==\\007\\033[21t\\033[?1049h\\033[31mred\\033[0m';
      const program = startOnPty(['exec', '-it', 'mine', '--', 'sh', '-c', `printf '${hostile}'; echo; exit 3`], env);
      expect((await program.ended).code).toBe(3);
      expect(program.output).toContain('\x1b[?1049h\x1b[31mred\x1b[0m');
      expect(program.output).not.toMatch(/title|ZXZp|\[21t/);
      expect(program.output.slice(program.output.indexOf('red'))).toContain('\x1b[?1049l');
    },
  );

  test('does without a server, with an engine of its own', PATIENCE, async () => {
    const alone = environment(newStateDir(), { TERM: 'xterm' });
    await runCommand(['run', '--local', '--session', 'own', '-c', 'open("a.txt", "w").write("kept");'], { env: alone });
    const shell = startOnPty(['exec', '--local', '-it', 'own'], alone);
    await shell.until(/[$#] /);
    shell.type('cat a.txt; echo; echo b > b.txt; exit 4\r');
    expect((await shell.ended).code).toBe(4);
    expect(shell.output).toContain('kept');
    const read = await runCommand(['exec', '--local', 'own', 'cat', 'b.txt'], { env: alone });
    expect(read.stdout).toBe('b\n');
  });

  test('says what a terminal lost when the server is stopped, and when this is none', PATIENCE, async () => {
    const piped = await runCommand(['exec', '-it', 'mine'], { env });
    expect(piped).toMatchObject({ code: 125, stderr: expect.stringContaining('no terminal') });
    const other = await startServer({ env: { GLOVEBOX_POOL_SIZE: '0' } });
    const there = environment(newStateDir(), { GLOVEBOX_PORT: String(other.port), TERM: 'xterm' });
    await runCommand(['run', '--session', 'mine', '-c', 'pass'], { env: there });
    const shell = startOnPty(['exec', '-it', 'mine'], there);
    await shell.until(/[$#] /);
    await other.stop();
    await shell.until('the connection broke');
    shell.type('\x10\x11');
    expect((await shell.ended).code).toBe(0);
  });
});
