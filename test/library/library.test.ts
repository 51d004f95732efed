import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type ExecutionEvent, Glovebox, GloveboxError, type GloveboxOptions } from '../../src/index.ts';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { containersOf, environment, newStateDir, runCli } from '../support/server.ts';

const INDEX = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
const PATIENCE = { timeout: 30_000 };
const dockerHost = process.env['DOCKER_HOST'];

beforeAll(() => {
  process.env['DOCKER_HOST'] = inject('engineAddress');
});

afterAll(() => {
  if (dockerHost === undefined) delete process.env['DOCKER_HOST'];
  else process.env['DOCKER_HOST'] = dockerHost;
});

const optionsOf = (stateDir: string, options: GloveboxOptions = {}): GloveboxOptions => ({
  ...{ engine: 'docker', image: 'slim', memoryMb: 512, poolSize: 0, stateDir },
  ...options,
});

const open = async (options: GloveboxOptions = {}) => await Glovebox.open(optionsOf(newStateDir(), options));

describe('a session of the library', () => {
  test('runs code with live events, and says a bad end as a status', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open({ owner: 'alice', name: 'mine' });
    expect(session).toMatchObject({ id: 'mine', owner: 'alice', created: true });
    const events: ExecutionEvent[] = [];
    const result = await session.run('print("a")\nimport sys; print("b", file=sys.stderr)\n6 * 7', {
      timeoutMs: 5_000,
      onEvent: (event) => void events.push(event),
    });
    expect(result).toMatchObject({
      status: 'ok',
      exitCode: 0,
      stdout: 'a\n',
      stderr: 'b\n',
      displays: [{ text: '42' }],
    });
    expect(events).toContainEqual({ type: 'stdout', text: 'a\n' });
    expect(events).toContainEqual({ type: 'stderr', text: 'b\n' });
    expect(events).toContainEqual({ type: 'display', display: { text: '42' } });

    expect(await session.run('while True: pass', { timeoutMs: 300 })).toMatchObject({ status: 'timeout' });
    expect(await session.run('1/0')).toMatchObject({ status: 'error', error: { name: 'ZeroDivisionError' } });
    const cancelled = session.run('import time; time.sleep(60)', { signal: AbortSignal.timeout(500) });
    expect(await cancelled).toMatchObject({ status: 'cancelled' });
    await expect(session.run('', { context: 'not a name' })).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('runs commands, also in the background, with input that is streamed and output as bytes', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    expect(await session.command('echo $((6 * 7)); exit 3')).toMatchObject({
      ...{ status: 'error', exitCode: 3, stdout: '42\n' },
    });
    const pieces: Uint8Array[] = [];
    const stdin = (async function* () {
      yield Buffer.from([255, 0]);
    })();
    const onEvent = (event: ExecutionEvent) => {
      if (event.type === 'stdout' && event.bytes) pieces.push(event.bytes);
    };
    expect(await session.command(['cat'], { stdin, asBytes: true, onEvent })).toMatchObject({ status: 'ok' });
    expect(Buffer.concat(pieces)).toEqual(Buffer.from([255, 0]));
    const job = await session.startCommand('pwd; echo $A', { cwd: '/tmp', env: { A: '1' } });
    expect(await job.result).toMatchObject({ status: 'ok', stdout: '/tmp\n1\n' });
    expect(await session.command(['rgrep-of-no-image'])).toMatchObject({
      exitCode: 127,
      error: { name: 'CommandNotFound' },
    });
    for (const wrong of [() => session.command(''), () => session.command([]), () => session.command(7 as never)])
      await expect(wrong()).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(session.command('ls', { args: ['a'] } as never)).rejects.toMatchObject({
      message: 'session.command has no option "args".',
    });
  });

  test("lets code call functions of the caller's own, whatever they return and throw", async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    const prices = new Map([['tea', 3]]);
    const events: ExecutionEvent[] = [];
    const code = `
import tools
print(tools.client.price(name="tea"), tools.client.price(name="gold"), tools.client.nothing())
for call in (tools.client.broken, tools.client.endless):
    try: call()
    except tools.ToolError as error: print(error.code, error.message)
try: tools.client.price(nmae="tea")
except tools.ToolError as error: print(error.code)`;
    const result = await session.run(code, {
      onEvent: (event) => void events.push(event),
      clientTools: {
        price: {
          description: 'Price of an article.',
          inputSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
          handler: async ({ name }) => prices.get(String(name)) ?? null,
        },
        nothing: { handler: () => undefined },
        broken: {
          handler: () => {
            throw new Error('It is broken.');
          },
        },
        endless: { handler: () => 10n },
      },
    });
    expect(result.stdout).toMatch(/^3 None None\nupstream It is broken\.\nupstream .*BigInt.*\nbad_arguments\n$/);
    expect(result.toolCalls?.map(({ tool, status }) => [tool, status])).toEqual([
      ...[
        ['client.price', 'ok'],
        ['client.price', 'ok'],
        ['client.nothing', 'ok'],
      ],
      ...[
        ['client.broken', 'upstream'],
        ['client.endless', 'upstream'],
      ],
    ]);
    expect(events.filter(({ type }) => type === 'tool_call')).toHaveLength(10);
    await expect(session.run('1', { clientTools: { 'a b': { handler: () => 1 } } })).rejects.toMatchObject({
      ...{ code: 'invalid_input', message: '"a b" is no name of a tool.' },
    });
    const noHandler = { clientTools: { a: {} } } as unknown as Parameters<typeof session.run>[1];
    await expect(session.run('1', noHandler)).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(session.run('1', { tools: ['github'] })).rejects.toMatchObject({
      ...{ code: 'invalid_input', message: 'There is no server "github" of tools.' },
    });
  });

  test('ends a call of a function when it is cancelled', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    const cancelled = new AbortController();
    let wasTold = false;
    const wait = async (_args: unknown, { signal }: { signal: AbortSignal }) => {
      signal.addEventListener('abort', () => {
        wasTold = true;
      });
      cancelled.abort();
      await new Promise(() => {});
    };
    const code = 'import tools\ntools.client.wait()';
    const result = await session.run(code, { signal: cancelled.signal, clientTools: { wait: { handler: wait } } });
    expect(result).toMatchObject({ status: 'cancelled', toolCalls: [{ tool: 'client.wait', status: 'cancelled' }] });
    expect(wasTold).toBe(true);
  });

  test('gives a program arguments and a stream of standard input, which closes with it', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    const echo = 'import sys\nprint(sys.argv[1:], sys.stdin.read())';
    async function* words() {
      for (const word of ['one ', 'two']) yield Buffer.from(word);
    }
    const options = { args: ['-x', 'a b'], stdin: words() };
    expect(await session.run(echo, options)).toMatchObject({ stdout: "['-x', 'a b'] one two\n" });
    const closed = Promise.withResolvers<string>();
    const endless: AsyncIterable<Uint8Array> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          closed.resolve('closed');
          return { done: true, value: undefined };
        },
      }),
    };
    expect(await session.run('print(1)', { stdin: endless })).toMatchObject({ stdout: '1\n' });
    expect(await closed.promise).toBe('closed');
    async function* failing() {
      yield Buffer.from('a');
      throw new Error('no more');
    }
    await expect(session.run('input()', { stdin: failing() })).rejects.toThrow('no more');
    await expect(session.run('1', { context: 'c', args: ['a'] })).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('is archived at once where it is asked to hibernate, and comes back with the next call', async () => {
    const stateDir = newStateDir();
    await using glovebox = await open({ stateDir });
    await using session = await glovebox.sessions.open({ name: 'mine' });
    await session.run('open("a", "w").write("kept")');
    await session.hibernate();
    expect(session.info()).toMatchObject({ state: 'hibernated' });
    expect(await containersOf({ stateDir })).toEqual([]);
    expect(await session.run('print(open("a").read())')).toMatchObject({ stdout: 'kept\n' });
    const waiting = session.run('input()', { stdin: new ReadableStream(), timeoutMs: 5000 });
    await expect.poll(() => session.info().running).toBe(1);
    await expect(session.hibernate()).rejects.toMatchObject({ code: 'session_busy' });
    await waiting;
  });

  test('keeps variables in contexts, moves files, and goes on in the background', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    await session.run('x = 41', { context: 'c' });
    expect((await session.run('print(x + 1)', { context: 'c' })).stdout).toBe('42\n');
    expect(session.info()).toMatchObject({ state: 'active', contexts: ['c'] });
    await session.endContext('c');
    expect(session.info().contexts).toEqual([]);

    expect(await session.files.write('in/a.txt', 'text')).toEqual({ size: 4, created: true });
    await expect(session.files.write('in/a.txt', 'x', { mode: 'create' })).rejects.toMatchObject({
      code: 'file_exists',
    });
    async function* parts() {
      yield Buffer.from('one ');
      yield Buffer.from('two');
    }
    await session.files.write('in/b.bin', parts());
    expect((await session.run('print(open("in/b.bin").read())')).stdout).toBe('one two\n');
    const read: Uint8Array[] = [];
    for await (const part of session.files.stream('in/b.bin')) read.push(part);
    expect(Buffer.concat(read).toString()).toBe('one two');
    expect((await session.files.list('', { recursive: true })).entries.map(({ path }) => path)).toEqual([
      'in',
      'in/a.txt',
      'in/b.bin',
    ]);
    expect(await session.files.stat('in/a.txt')).toMatchObject({ type: 'file', size: 4 });
    await session.files.delete('in', { recursive: true });
    await expect(session.files.readText('in/a.txt')).rejects.toMatchObject({ code: 'file_not_found' });

    const job = await session.start('import time\nprint("begun", flush=True)\ntime.sleep(60)');
    await expect.poll(async () => (await job.read()).stdout, PATIENCE).toBe('begun\n');
    expect(session.executions).toMatchObject([
      {
        ...{ id: job.id, status: 'running', startedAt: expect.any(Date), begunAt: expect.any(Date) },
        program: { kind: 'code', code: expect.stringContaining('print("begun"') },
      },
    ]);
    job.cancel();
    expect(await job.result).toMatchObject({ status: 'cancelled', stdout: 'begun\n' });
  });

  test('installs packages, and says of each what came of it', async () => {
    await using index = await IndexServer.start();
    index.add(makeWheel('plain-thing', '1.0'));
    await using glovebox = await open({ indexUrl: [index.url], cacheDir: newStateDir() });
    await using session = await glovebox.sessions.open();
    const messages: string[] = [];
    const installed = await session.install(['plain-thing'], { onEvent: ({ message }) => void messages.push(message) });
    expect(installed).toMatchObject({ status: 'ok', packages: [{ name: 'plain-thing', version: '1.0' }] });
    expect(messages).not.toEqual([]);
    expect(await session.run('import plain_thing')).toMatchObject({ status: 'ok' });
    expect(await session.install(['nowhere-to-be-found'])).toMatchObject({
      status: 'error',
      packages: [{ error: expect.stringContaining('nowhere-to-be-found') }],
    });
    await expect(session.install(['--upgrade'])).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('is copied by a snapshot and by a fork, and is nobody else’s', async () => {
    await using glovebox = await open();
    const alice = { owner: 'alice' };
    const session = await glovebox.sessions.open({ ...alice, name: 'base' });
    await session.files.write('a.txt', 'first');
    const snapshot = await session.snapshot();
    const fork = await session.fork({ name: 'fork' });
    await session.files.write('a.txt', 'second');
    const again = await glovebox.sessions.open({ ...alice, snapshot: snapshot.id });
    for (const copy of [fork, again]) expect(await copy.files.readText('a.txt')).toBe('first');
    expect(await glovebox.snapshots.list(alice)).toEqual([snapshot]);
    expect(await glovebox.snapshots.list()).toEqual([]);
    expect(glovebox.sessions.list(alice).map(({ id }) => id)).toEqual(expect.arrayContaining(['base', 'fork']));
    expect(glovebox.sessions.list()).toEqual([]);
    expect(() => glovebox.sessions.get(again.id)).toThrow(/Unknown or expired session/);
    expect(glovebox.sessions.get('base', alice).created).toBe(false);
    await expect(session.fork({ name: 'fork' })).rejects.toMatchObject({ code: 'invalid_input' });
    await glovebox.snapshots.delete(snapshot.id, alice);
    await expect(glovebox.snapshots.delete(snapshot.id, alice)).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('a call that cannot be meant', () => {
  test('a listener that fails ends its call with what it threw, and the session goes on', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    await session.run('x = 41', { context: 'c' });
    const code = 'print(1, flush=True)\nimport time; time.sleep(60)';
    const failing = [
      () => {
        throw new Error('mine');
      },
      () => Promise.reject(new Error('mine')),
    ];
    for (const onEvent of failing)
      await expect(session.run(code, { onEvent, timeoutMs: 60_000 })).rejects.toThrow('mine');
    const next = await session.run('print(x + 1)', { context: 'c' });
    expect(next).toMatchObject({ status: 'ok', stdout: '42\n' });
    expect(next).not.toHaveProperty('reset');
  });

  test('is refused with what to write, by a program that is not checked by types as well', async () => {
    await using glovebox = await open();
    await using session = await glovebox.sessions.open();
    /** Arguments as JavaScript may have them. */
    const any = (value: unknown) => value as never;
    const calls: [() => unknown, string][] = [
      [() => session.run(any(5)), 'The code of session.run is no text.'],
      [() => session.run('', any({ timeout: 5 })), 'session.run has no option "timeout".'],
      [() => session.run('', any(null)), 'The options of session.run are no object.'],
      [() => session.run('', any({ timeoutMs: '5' })), 'The option timeoutMs of session.run is no number.'],
      [() => session.run('', any({ env: { A: 5 } })), 'The option env of session.run is no object of texts.'],
      [() => session.run('', any({ signal: 5 })), 'The option signal of session.run is no AbortSignal.'],
      [() => session.run('', { timeoutMs: -1 }), 'timeoutMs is from 1 to 3600000, not -1.'],
      [() => session.start('', any({ onEvent: () => {} })), 'session.start has no option "onEvent".'],
      [() => session.install(any('numpy')), 'The packages are no list of names.'],
      [() => session.files.read(any(5)), 'The path of files.read is no text.'],
      [() => session.files.write('a', any(5)), 'The content is neither text, nor bytes, nor a stream of bytes.'],
      [() => session.files.write('a', 'b', any({ mode: 'new' })), 'files.write has no mode "new".'],
      [() => session.fork(any('name')), 'The options of session.fork are no object.'],
      [() => glovebox.sessions.open(any({ nam: 'x' })), 'sessions.open has no option "nam".'],
      [() => glovebox.sessions.open({ name: 'a b' }), '"a b" is not a valid name.'],
      [() => glovebox.sessions.open({ owner: '../x' }), '"../x" is no name of an owner.'],
      [() => glovebox.sessions.get(any(5)), 'The id of sessions.get is no text.'],
    ];
    for (const [call, message] of calls)
      await expect((async () => await call())()).rejects.toMatchObject({ code: 'invalid_input', message });
    await expect(session.run('', any({ timeOut: 5 }))).rejects.toMatchObject({ hint: 'Did you mean "timeoutMs"?' });
  });
});

describe('the end of a Glovebox', () => {
  test('leaves nothing behind; a second end, and one of a session after it, do nothing', async () => {
    const stateDir = newStateDir();
    const glovebox = await Glovebox.open(optionsOf(stateDir, { poolSize: 1 }));
    const session = await glovebox.sessions.open();
    await session.run('print(1)');
    await session.close();
    await session.close();
    const gone = { code: 'session_not_found', hint: 'Open another one with glovebox.sessions.open().' };
    await expect(session.run('print(1)')).rejects.toMatchObject(gone);
    const other = await glovebox.sessions.open();
    expect(await containersOf({ stateDir })).not.toEqual([]);
    await Promise.all([glovebox.close(), glovebox.close()]);
    await glovebox.close();
    await other.close();
    expect(await containersOf({ stateDir })).toEqual([]);
    const closed = { code: 'engine_unavailable', hint: 'Open another one with Glovebox.open().' };
    await expect(glovebox.sessions.open()).rejects.toMatchObject(closed);
    await expect(glovebox.health()).rejects.toMatchObject(closed);
  });

  test('keeps sessions for the next of its name, contexts and all, if it is told to', async () => {
    const kept = optionsOf(newStateDir(), { onShutdown: 'keep', instance: 'mine' });
    const first = await Glovebox.open(kept);
    const session = await first.sessions.open({ name: 'work' });
    await session.run('x = 41', { context: 'c' });
    await first.close();
    await using second = await Glovebox.open({ ...kept, onShutdown: 'remove' });
    const again = await second.sessions.open({ name: 'work' });
    expect(again.created).toBe(false);
    expect((await again.run('print(x + 1)', { context: 'c' })).stdout).toBe('42\n');
  });

  test('that did not come, because the process was killed, is made up for by the next one', async () => {
    const stateDir = newStateDir();
    const options = JSON.stringify(optionsOf(stateDir));
    const program = `
      const { Glovebox } = await import(${JSON.stringify(INDEX)});
      const glovebox = await Glovebox.open(${options});
      await (await glovebox.sessions.open()).run('1');
      process.stdout.write('ready');
      setInterval(() => {}, 1000);`;
    const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout ?? child, 'data');
    expect(await containersOf({ stateDir })).toHaveLength(1);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await using _next = await Glovebox.open(optionsOf(stateDir));
    await expect.poll(() => containersOf({ stateDir }), PATIENCE).toEqual([]);
  });
});

describe('a Glovebox that cannot be opened', () => {
  test('a second one of the same instance is refused, and one without a name is not', async () => {
    const stateDir = newStateDir();
    await using _first = await Glovebox.open(optionsOf(stateDir, { instance: 'one' }));
    const second = Glovebox.open(optionsOf(stateDir, { instance: 'one' }));
    await expect(second).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining('named one'),
    });
    await using _third = await Glovebox.open(optionsOf(stateDir));
    await using _fourth = await Glovebox.open(optionsOf(stateDir));
  });

  test('without an engine it gives the advice that the command line gives', async () => {
    const nowhere = 'unix:///nowhere/docker.sock';
    const { stderr } = await runCli(
      ['serve'],
      environment(newStateDir(), { DOCKER_HOST: nowhere, GLOVEBOX_PORT: '0' }),
    );
    process.env['DOCKER_HOST'] = nowhere;
    try {
      const error = await open().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(GloveboxError);
      const { code, message, hint } = error as GloveboxError;
      expect(code).toBe('engine_unavailable');
      expect(stderr).toBe(`glovebox: ${message}\n${hint}\n`);
    } finally {
      process.env['DOCKER_HOST'] = inject('engineAddress');
    }
  });
});
