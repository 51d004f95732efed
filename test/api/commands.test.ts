import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LEGACY_HTTP, MODERN_HTTP, textOf } from '../support/mcp-clients.ts';
import {
  callTool,
  type ErrorAnswer,
  type Execution,
  openSession,
  post,
  runCommand,
  runPython,
  streamTool,
} from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

/** Commands in real sandboxes, over each way in. */

interface Followed extends Execution {
  next: { stdout_offset: number; stderr_offset: number };
}

let server: Server;
let session_id: string;
beforeAll(async () => {
  server = await startServer({
    env: { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_OUTPUT_LIMIT: '2000', GLOVEBOX_OUTPUT_KEEP_LIMIT: '50000' },
  });
  session_id = await openSession(server);
});
afterAll(async () => await server[Symbol.asyncDispose]());

const run = (command: string | readonly string[], args: Record<string, unknown> = {}) =>
  runCommand(server, command, { session_id, timeout_s: 20, ...args });
const follow = async (id: string, query: string) =>
  (await (await fetch(`${server.url}/executions/${id}?${query}`)).json()) as Followed;
const refusal = async (args: Record<string, unknown>) => {
  const answer = await post(server, '/execute', { name: 'run_command', arguments: { session_id, ...args } });
  return { status: answer.status, ...((await answer.json()) as ErrorAnswer).error };
};

describe('a command', () => {
  test('is run by a shell, or as a program with its arguments, in the workspace of its session', async () => {
    await runPython(server, 'open("in.txt", "w").write("b\\na\\n")', { session_id });
    expect(await run('sort in.txt > out.txt; cat out.txt; echo no >&2; exit 3')).toMatchObject({
      ...{ session_id, status: 'error', exit_code: 3, stdout: 'a\nb\n', stderr: 'no\n' },
      files: [{ path: 'out.txt', size: 4 }],
    });
    const listed = await run(['printf', '%s|', '$HOME', 'a b', '*']);
    expect(listed).toMatchObject({ status: 'ok', exit_code: 0, stdout: '$HOME|a b|*|', files: [] });
    expect(listed).not.toHaveProperty('error');
    expect(listed).not.toHaveProperty('results');
    expect(listed.cpu_ms).toBeGreaterThan(0);
  });

  test('that came as the JSON text of a list is that list', async () => {
    expect((await run('["printf", "%s", "a b"]')).stdout).toBe('a b');
  });

  test('has the folder, variables and input that it was given, for itself alone', async () => {
    await run('mkdir -p deep/er');
    const args = { cwd: 'deep/er', env: { GREETING: 'hällo' }, stdin: 'one\ntwo\n' };
    expect((await run('pwd; echo "$GREETING"; wc -l', args)).stdout).toBe('/workspace/deep/er\nhällo\n2\n');
    expect((await run('pwd; echo "[$GREETING]"; cat')).stdout).toBe('/workspace\n[]\n');
    expect((await run('pwd', { cwd: '/tmp' })).stdout).toBe('/tmp\n');
  });

  test('finds python, and what packages of the session have as commands', async () => {
    await run('mkdir -p ~/.local/bin; printf "#!/bin/sh\\necho mine" > ~/.local/bin/own; chmod +x ~/.local/bin/own');
    expect((await run('own; python -c "print(6 * 7)"; pip --version | cut -d" " -f1')).stdout).toBe('mine\n42\npip\n');
  });

  test('ends with all that it has started', async () => {
    const { stdout } = await run('sleep 100 & echo $!; setsid sleep 100 & echo $!');
    const pids = stdout.trim().split('\n');
    expect(pids).toHaveLength(2);
    const look = 'for pid; do [ -e /proc/$pid ] && echo $pid lives; done; echo seen';
    expect((await run(['sh', '-c', look, 'sh', ...pids])).stdout).toBe('seen\n');
  });

  test('is streamed while it runs, and reads input that is streamed', async () => {
    const headers = { 'idempotency-key': `commands-${session_id}` };
    const call = [
      'run_command',
      { command: 'while read -r line; do echo "got $line"; done', session_id },
      '?stdin=1',
    ] as const;
    const seen: string[] = [];
    for await (const { event, data } of streamTool(server, call, { headers })) {
      seen.push(event);
      if (event === 'session') {
        void fetch(`${server.url}/execute/stream/stdin`, {
          ...{ method: 'PUT', body: 'a\nb\n', headers: { ...headers, 'content-type': 'application/octet-stream' } },
        });
      }
      if (event === 'result') expect((data as { result: Execution }).result.stdout).toBe('got a\ngot b\n');
    }
    expect(seen[0]).toBe('session');
    expect(seen).toContain('stdout');
    expect(seen.at(-1)).toBe('result');
  });

  test('has its output as bytes in events, if the caller asks for them', async () => {
    const pieces: Buffer[] = [];
    const call = ['run_command', { command: ['printf', '\\377\\0\\303'], session_id }, '?bytes=1'] as const;
    for await (const { event, data } of streamTool(server, call)) {
      if (event === 'stdout') pieces.push(Buffer.from((data as { base64: string }).base64, 'base64'));
    }
    expect(Buffer.concat(pieces)).toEqual(Buffer.from([255, 0, 195]));
  });

  test('is done once for a key, and answered again', async () => {
    const body = { name: 'run_command', arguments: { command: 'echo x >> once; wc -l < once', session_id } };
    const headers = { 'idempotency-key': `once-${session_id}` };
    const answers = [
      await post(server, '/execute', body, { headers }),
      await post(server, '/execute', body, { headers }),
    ];
    for (const answer of answers) expect(((await answer.json()) as { result: Execution }).result.stdout).toBe('1\n');
  });

  test('is cancelled with its caller', async () => {
    const caller = new AbortController();
    const events = streamTool(server, ['run_command', { command: 'echo up; sleep 60', session_id }], caller);
    await expect(async () => {
      for await (const { event } of events) if (event === 'stdout') caller.abort();
    }).rejects.toThrow();
    await expect.poll(async () => (await run('pgrep -x sleep || ls /proc/*/comm | wc -l')).status).toBe('ok');
    const recent = (await (await fetch(`${server.url}/executions`)).json()) as {
      executions: Record<string, unknown>[];
    };
    expect(recent.executions.find(({ code }) => code === 'echo up; sleep 60')).toMatchObject({
      ...{ kind: 'command', session_id, background: false },
    });
  });

  test.each([...LEGACY_HTTP.slice(0, 1), ...MODERN_HTTP.slice(0, 1)])(
    'is a tool of MCP: %s',
    async (_name, connect) => {
      await using client = await connect(server);
      const answer = await client.call('run_command', { command: 'echo hello; exit 4', session_id });
      expect(answer.structuredContent).toMatchObject({ status: 'error', exit_code: 4, stdout: 'hello\n' });
      expect(textOf(answer)).toContain('[error] exit code 4');
    },
  );
});

describe('a command in the background', () => {
  test('is followed by the offset of its output to its result', async () => {
    const { execution_id: id, status } = await run('for i in 1 2 3; do echo line $i; sleep 0.1; done; exit 5', {
      background: true,
    });
    expect(status).toBe('running');
    const whole = await follow(id, 'wait_s=20');
    expect(whole).toMatchObject({ status: 'error', exit_code: 5, stdout: 'line 1\nline 2\nline 3\n' });
    expect((await follow(id, 'stdout_offset=7')).stdout).toBe('line 2\nline 3\n');
  });

  test('is ended by whoever cancels it', async () => {
    const { execution_id } = await run("trap 'echo bye; exit 0' INT; echo up; while :; do sleep 0.1; done", {
      background: true,
    });
    await expect.poll(async () => (await follow(execution_id, '')).stdout).toBe('up\n');
    expect(await callTool(server, 'cancel_execution', { execution_id })).toMatchObject({
      ...{ status: 'cancelled', stdout: 'up\nbye\n' },
    });
  });
});

describe('what a command cannot do', () => {
  test.each([
    ['a program that is not there', ['pyton3'], 127, 'CommandNotFound', /Did you mean python3\?/],
    ['the same in a shell', 'pyton3 x', 127, 'CommandNotFound', /Did you mean python3\?/],
    ['what needs root', 'sudo ls', 127, 'CommandNotFound', /no root/],
    ['a package that is not installed', 'black .', 127, 'CommandNotFound', /install_dependencies/],
    ['a file that is not executable', ['./plain'], 126, 'CommandNotExecutable', /chmod \+x/],
    ['the same in a shell', './plain', 126, 'CommandNotExecutable', /chmod \+x/],
    ['a file of no known format', ['./garbage'], 126, 'CommandNotExecutable', /interpreter/],
    ['a folder', ['/tmp'], 126, 'CommandNotExecutable', /folder/],
    [
      'too many arguments',
      ['echo', ...Array.from({ length: 25 }, () => 'x'.repeat(100_000))],
      126,
      'CommandNotExecutable',
      /128 KiB/,
    ],
  ])('is told with advice: %s', async (_what, command, exit_code, name, hint) => {
    await run('echo text > plain; printf "\\1\\2" > garbage; chmod 600 plain; chmod 700 garbage');
    const args = command.length > 20 ? {} : { cwd: '/workspace' };
    const result = command.length > 20 ? await runBig(command as string[]) : await run(command, args);
    expect(result).toMatchObject({ status: 'error', exit_code, error: { name, hint: expect.stringMatching(hint) } });
  });

  test.each([['nowhere'], ['../nowhere'], ['/root/x'], ['plain-file']])(
    'a folder that is not there: %s',
    async (cwd) => {
      await run('touch plain-file');
      const result = await run('echo ran', { cwd });
      expect(result).toMatchObject({
        status: 'error',
        exit_code: 126,
        stdout: '',
        error: { name: 'WorkingDirectoryError' },
      });
    },
  );

  test('an empty PATH is told, and the shell is found all the same', async () => {
    const result = await run('echo $((6 * 7)); ls', { env: { PATH: '' } });
    expect(result).toMatchObject({ exit_code: 127, stdout: '42\n', error: { hint: expect.stringContaining('PATH') } });
  });

  test('a command line of any allowed length is run', async () => {
    expect((await run(`: ${'x'.repeat(300_000)}\necho $#`)).stdout).toBe('0\n');
  });

  test.each([
    ['no command', {}, /command/],
    ['an empty one', { command: ' ' }, /empty/],
    ['an empty list', { command: [] }, /empty/],
    ['a NUL character', { command: 'a\0b' }, /NUL/],
    ['a NUL character in an argument', { command: ['a', 'b\0'] }, /NUL/],
    ['a NUL character in the folder', { command: 'a', cwd: '\0' }, /NUL/],
    ['an argument of 128 KiB', { command: ['echo', 'x'.repeat(131_072)] }, /131071/],
    ['input for a background command that would be streamed', { command: 'a', timeout_s: 1e9 }, /timeout_s/],
  ])('is refused: %s', async (_what, args, why) => {
    const { status, code, message } = await refusal(args);
    expect({ status, code }).toEqual({ status: 400, code: 'invalid_input' });
    expect(message).toMatch(why);
  });
});

/** Arguments that only the kernel finds too long, sent to a server that takes as many bytes. */
async function runBig(command: readonly string[]): Promise<Execution> {
  await using generous = await startServer({ env: { GLOVEBOX_CODE_LIMIT: String(4 * 1024 * 1024) } });
  return await runCommand(generous, command);
}
