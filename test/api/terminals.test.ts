import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ErrorAnswer, openSession, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { TerminalClient } from '../support/terminal-client.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_TERMINALS: '3' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const json = { 'content-type': 'application/json' };

/** Opens a terminal; its path. */
async function open(session: string, body: object = {}, to: Server = server): Promise<string> {
  const path = `/sessions/${session}/terminals`;
  const response = await fetch(`${to.url}${path}`, { method: 'POST', headers: json, body: JSON.stringify(body) });
  const answer = (await response.json()) as { terminal_id: string };
  expect(response.status, JSON.stringify(answer)).toBe(201);
  return `${path}/${answer.terminal_id}`;
}

async function list(session: string, of: Server = server): Promise<Record<string, unknown>[]> {
  const response = await fetch(`${of.url}/sessions/${session}/terminals`);
  return ((await response.json()) as { terminals: Record<string, unknown>[] }).terminals;
}

const attach = async (path: string, from?: number) =>
  await TerminalClient.attach(server.url, path, from === undefined ? {} : { from });

describe('a terminal', () => {
  test('is a shell of its size in the workspace, whose files are those of the session', async () => {
    const session = await openSession(server);
    await using viewer = await attach(await open(session, { rows: 30, cols: 100 }));
    expect(await viewer.message('attached')).toMatchObject({ offset: 0, rows: 30, cols: 100 });
    viewer.type("tty && stty size; echo kept > a.txt; echo do''ne\r");
    await viewer.until('done');
    expect(viewer.text).toMatch(/\/dev\/pts\/\d+\r\n30 100\r\n/);
    expect((await runPython(server, 'print(open("a.txt").read())', { session_id: session })).stdout).toBe('kept\n\n');
    viewer.tell({ type: 'resize', rows: 40, cols: 120 });
    viewer.type('stty size\r');
    await viewer.until('40 120');
    viewer.type('exit 5\r');
    expect(await viewer.message('ended')).toMatchObject({ exit_code: 5, reason: 'exited' });
    expect(await viewer.message('closed')).toMatchObject({ code: 1000 });
    expect(await list(session)).toMatchObject([{ running: false, exit_code: 5, reason: 'exited' }]);
  });

  test('runs the program that is asked for, with its folder and variables', async () => {
    const session = await openSession(server);
    const path = await open(session, { command: ['sh', '-c', 'pwd; echo $A; exit 3'], cwd: '/tmp', env: { A: 'b c' } });
    await using viewer = await attach(path);
    expect(await viewer.message('ended')).toMatchObject({ exit_code: 3 });
    expect(viewer.text).toBe('/tmp\r\nb c\r\n');
  });

  test('goes on when its viewer vanishes, who gets on return what was missed, and no more', async () => {
    const session = await openSession(server);
    const path = await open(session);
    const gone = await attach(path);
    gone.type("echo be''gun; sleep 0.5; echo mis''sed\r");
    await gone.until('begun');
    await gone[Symbol.asyncDispose]();
    await using other = await attach(path);
    await other.until('missed');
    await using back = await attach(path, gone.length);
    expect(await back.message('attached')).toMatchObject({ offset: gone.length });
    await back.until('missed');
    expect(back.text).not.toContain('begun');
    expect(gone.text + back.text).toBe(other.text);
  });

  test('is the same for several viewers, whoever of them types', async () => {
    const path = await open(await openSession(server));
    await using one = await attach(path);
    await using two = await attach(path);
    one.type('echo first-$((1+1))\r');
    await two.until('first-2');
    two.type('echo second-$((1+1))\r');
    await one.until('second-2');
    two.tell({ type: 'resize', rows: 33, cols: 77 });
    expect(await one.message('resized')).toMatchObject({ rows: 33, cols: 77 });
  });

  test('interrupts by Ctrl-C what prints without end, and the shell goes on', async () => {
    await using viewer = await attach(await open(await openSession(server)));
    viewer.type('yes\r');
    await viewer.until('y\r\ny\r\ny\r\n');
    viewer.type('\x03');
    viewer.type("echo st''ill-$((1+1))\r");
    await viewer.until('still-2');
  });

  test('that nobody looks at prints without end and stays bounded, and its session answers', async () => {
    const session = await openSession(server);
    const path = await open(session, { command: 'yes' });
    expect((await runPython(server, 'print(1)', { session_id: session })).stdout).toBe('1\n');
    await using late = await attach(path);
    await late.until('y\r\n');
    late.type('\x03');
    expect(await late.message('ended')).toMatchObject({ exit_code: 130 });
  });

  test('takes no place of the executions of its session', async () => {
    const session = await openSession(server);
    for (let at = 0; at < 3; at += 1) await open(session);
    const calls = Array.from({ length: 4 }, () => runPython(server, 'print(1)', { session_id: session }));
    expect((await Promise.all(calls)).map(({ stdout }) => stdout)).toEqual(Array(4).fill('1\n'));
    const refused = await fetch(`${server.url}/sessions/${session}/terminals`, { method: 'POST' });
    expect([refused.status, ((await refused.json()) as ErrorAnswer).error.code]).toEqual([409, 'session_busy']);
  });
});

describe('the end of a terminal', () => {
  const END = { method: 'DELETE' };

  test('by its owner takes with it what ignores signals, and what left its group and its session', async () => {
    const session = await openSession(server);
    const line = [
      'trap "" HUP INT TERM QUIT TSTP',
      'setsid sh -c "trap \'\' HUP TERM; while :; do sleep 1001; done" &',
      'sleep 0.3; echo begun; while :; do sleep 1000; done',
    ].join('\n');
    const path = await open(session, { command: line });
    await using viewer = await attach(path);
    await viewer.until('begun');
    expect((await fetch(`${server.url}${path}`, END)).status).toBe(204);
    expect(await viewer.message('ended')).toMatchObject({ reason: 'closed' });
    const left =
      'import os\nprint([a for p in os.listdir("/proc") if p.isdigit() for a in [open(f"/proc/{p}/cmdline").read()] if "sleep\\x00100" in a])';
    expect((await runPython(server, left, { session_id: session })).stdout).toBe('[]\n');
  });

  test('comes to a shell that forks without end, and its session goes on', { timeout: 90_000 }, async () => {
    const session = await openSession(server);
    await runPython(server, 'open("kept", "w").write("k")', { session_id: session });
    const path = await open(session, { command: 'f() { f | f & }; f; echo begun; while :; do :; done' });
    await using viewer = await attach(path);
    await viewer.until(/begun|fork|Resource/);
    expect((await fetch(`${server.url}${path}`, END)).status).toBe(204);
    expect((await viewer.message('ended'))['reason']).toBe('closed');
    await expect
      .poll(async () => (await runPython(server, 'print(open("kept").read())', { session_id: session })).stdout)
      .toBe('k\n');
  });

  test('comes when its session is closed, and its viewers are told', async () => {
    const session = await openSession(server);
    await using viewer = await attach(await open(session));
    await fetch(`${server.url}/sessions/${session}`, END);
    expect(await viewer.message('ended')).toMatchObject({ exit_code: null, reason: 'session_closed' });
  });

  test('comes when code kills all that it can reach, and says that it was lost', async () => {
    const session = await openSession(server);
    await using viewer = await attach(await open(session));
    await viewer.message('attached');
    await runPython(server, 'import os; os.kill(-1, 9)', { session_id: session });
    const { reason } = await viewer.message('ended');
    expect(['runner_lost', 'crashed']).toContain(reason);
    await using next = await attach(await open(session));
    next.type("echo ag''ain\r");
    await next.until('again');
  });
});

describe('a viewer that is not well-meaning', () => {
  test.each([
    ['no JSON', '{'],
    ['another type', '{"type":"reboot"}'],
    ['no size', '{"type":"resize","rows":0,"cols":80}'],
    ['a size that no terminal has', '{"type":"resize","rows":24,"cols":100000}'],
    ['a size that is no number', '{"type":"resize","rows":"24","cols":null}'],
  ])('that sends %s is cut off, and the terminal goes on', async (_what, text) => {
    const path = await open(await openSession(server), { rows: 24, cols: 80 });
    await using bad = await attach(path);
    bad.socket.send(text);
    expect(await bad.message('closed')).toMatchObject({ code: 1008 });
    await using good = await attach(path);
    good.type('stty size\r');
    await good.until('24 80');
  });

  test('that sends a message beyond all bounds, or garbage in place of frames, is cut off', async () => {
    const path = await open(await openSession(server));
    await using large = await attach(path);
    large.socket.send(Buffer.alloc(1024 * 1024));
    expect(await large.message('closed')).toMatchObject({ code: 1009 });
    await using garbage = await attach(path);
    const { _socket: raw } = garbage.socket as unknown as { _socket: { write(bytes: Buffer): void } };
    raw.write(Buffer.from('ffffffffffffffffffffffffffffffff', 'hex'));
    expect((await garbage.message('closed'))['code']).not.toBe(1000);
    await using good = await attach(path);
    good.type("echo go''od\r");
    await good.until('good');
  });

  test('that sends sizes and pings without end is read more slowly, and holds up nobody else', async () => {
    const path = await open(await openSession(server), { rows: 24, cols: 80 });
    await using bad = await attach(path);
    await bad.message('attached');
    const pong = once(bad.socket, 'pong');
    for (let n = 0; n < 5000; n += 1) {
      bad.tell({ type: 'resize', rows: 10 + (n % 50), cols: 100 });
      bad.socket.ping();
    }
    await pong;
    await using good = await attach(path);
    good.type("echo go''od\r");
    await good.until('good');
    expect(bad.messages.map(({ type }) => type)).not.toContain('closed');
  });

  test('that floods a program which reads nothing holds up nobody else', async () => {
    const session = await openSession(server);
    const path = await open(session, { command: 'stty raw -echo; echo begun; sleep 1000' });
    await using flood = await attach(path);
    await flood.until('begun');
    for (let at = 0; at < 200; at += 1) flood.socket.send(Buffer.alloc(64 * 1024, 'x'));
    expect((await runPython(server, 'print(1)', { session_id: session })).stdout).toBe('1\n');
    await using other = await attach(await open(session));
    other.type("echo fi''ne\r");
    await other.until('fine');
    expect((await fetch(`${server.url}${path}`, { method: 'DELETE' })).status).toBe(204);
    expect(await flood.message('ended')).toMatchObject({ reason: 'closed' });
  });

  test('that sends escape sequences types them into the program, and nothing else', async () => {
    await using viewer = await attach(
      await open(await openSession(server), { command: 'stty -echo raw; echo go; head -c 12 | od -An -c; exit 0' }),
    );
    await viewer.until('go');
    viewer.type('\x1b]0;x\x07\x1b[6n\0\n');
    await viewer.message('ended');
    expect(viewer.text.replace(/\s+/g, ' ')).toContain('033 ] 0 ; x \\a 033 [ 6 n \\0 \\n');
  });
});

test.each([
  [{ rows: 0 }, 'rows and columns'],
  [{ rows: 24, cols: 100_000 }, 'rows and columns'],
  [{ command: 7 }, 'command'],
  [{ env: { 'a b': 'c' } }, 'env'],
  [{ shell: 'zsh' }, 'shell'],
])('POST …/terminals refuses %j', async (body, said) => {
  const session = await openSession(server);
  const sent = { method: 'POST', headers: json, body: JSON.stringify(body) };
  const response = await fetch(`${server.url}/sessions/${session}/terminals`, sent);
  expect([response.status, ((await response.json()) as ErrorAnswer).error.message]).toEqual([
    400,
    expect.stringContaining(said),
  ]);
});
