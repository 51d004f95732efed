import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callTool, openSession, post, runPython, streamPython, userOf } from '../support/rest-client.ts';
import { containerOfUser, processesOf, type Server, startServer } from '../support/server.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_OUTPUT_LIMIT: '2000' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('what a result tells', () => {
  test('stdout, stderr, exit code, time and memory of a run that went well', async () => {
    const result = await runPython(server, 'import sys; print("out"); print("err", file=sys.stderr)');
    expect(result).toMatchObject({ status: 'ok', exit_code: 0, stdout: 'out\n', stderr: 'err\n', files: [] });
    expect(result.execution_id).toMatch(/^exe_/);
    expect(result.duration_ms).toBeGreaterThan(0);
    expect(result.cpu_ms).toBeGreaterThan(0);
    expect(result.peak_memory_bytes).toBeGreaterThan(1_000_000);
    for (const absent of ['error', 'truncated', 'termination', 'limit', 'session_reset'])
      expect(result).not.toHaveProperty(absent);
  });

  test('times: waiting takes time but no processor, computing takes both', async () => {
    const slept = await runPython(server, 'import time; time.sleep(0.3)');
    expect(slept.duration_ms).toBeGreaterThan(300);
    expect(slept.cpu_ms).toBeLessThan(200);
    const busy = await runPython(server, 'import time\nwhile time.process_time() < 0.3: pass');
    expect(busy.cpu_ms).toBeGreaterThan(250);
  });

  test('memory: the most that the program had at once', async () => {
    const { peak_memory_bytes } = await runPython(server, 'b = bytearray(100_000_000); del b');
    expect(peak_memory_bytes).toBeGreaterThan(100_000_000);
  });

  test('the files that a run made or changed, and only those', async () => {
    const id = await openSession(server);
    const made = await runPython(
      server,
      'import os\nos.mkdir("sub")\nopen("sub/b.bin", "wb").write(b"12345")\nopen("a.txt", "w").write("1")\nopen("/tmp/no", "w")',
      { session_id: id },
    );
    expect(made.files).toEqual([
      { path: 'a.txt', size: 1 },
      { path: 'sub/b.bin', size: 5 },
    ]);
    const changed = await runPython(server, 'open("a.txt", "a").write("2"); open("sub/b.bin").read()', {
      session_id: id,
    });
    expect(changed.files).toEqual([{ path: 'a.txt', size: 2 }]);
    expect((await runPython(server, 'pass', { session_id: id })).files).toEqual([]);
  });

  test('stdin is read to its end, and is empty when none is given', async () => {
    const code = 'import sys; print(repr(sys.stdin.read()))';
    expect((await runPython(server, code, { stdin: 'line 1\nzwei ü €\n' })).stdout).toBe("'line 1\\nzwei ü €\\n'\n");
    expect((await runPython(server, code)).stdout).toBe("''\n");
    const asked = await runPython(server, 'print(input() + input())', { stdin: 'a\nb\n' });
    expect(asked).toMatchObject({ status: 'ok', stdout: 'ab\n' });
  });

  test('env is added to the environment, for this run only', async () => {
    const code = 'import os; print(os.environ.get("GREETING"), os.environ["HOME"])';
    expect((await runPython(server, code, { env: { GREETING: 'hallo = ü' } })).stdout).toBe('hallo = ü /workspace\n');
    expect((await runPython(server, code)).stdout).toBe('None /workspace\n');
  });

  test.each([
    ['sys.exit(7)', 'error', 7],
    ['sys.exit(0)', 'ok', 0],
    ['sys.exit()', 'ok', 0],
    ['sys.exit("a reason")', 'error', 1],
    ['sys.exit(256)', 'ok', 0],
    ['os._exit(3)', 'error', 3],
    ['raise SystemExit(5)', 'error', 5],
    ['os.kill(os.getpid(), 15)', 'crashed', null],
    ['os.abort()', 'crashed', null],
  ])('%s ends with status %s and exit code %s', async (end, status, exit_code) => {
    const result = await runPython(server, `import os, sys\nprint("before")\n${end}`);
    expect(result).toMatchObject({ status, exit_code, stdout: 'before\n' });
    expect(result).not.toHaveProperty('error');
  });

  test('an uncaught exception: its name, value and a traceback without frames of ours', async () => {
    const result = await runPython(server, 'def f():\n    raise KeyError("who?")\nf()');
    expect(result).toMatchObject({ status: 'error', exit_code: 1, error: { name: 'KeyError', value: "'who?'" } });
    expect(result.error?.traceback).toMatch(/line 3, in <module>\n.*line 2, in f\n/s);
    expect(result.error?.traceback).not.toContain('glovebox');
    expect(result.stderr).toContain('raise KeyError("who?")');
  });

  test('a syntax error names the line', async () => {
    const { status, error } = await runPython(server, 'print(1)\nif:\n');
    expect(status).toBe('error');
    expect(error).toMatchObject({ name: 'SyntaxError', traceback: expect.stringContaining('line 2') });
  });

  test.each([
    ['await', 'import asyncio\nawait asyncio.sleep(0)'],
    ['async for', 'async for x in y:\n    pass'],
    ['a command', 'x = 1\nif x:\n    !ls -l\n'],
    ['a magic', '%timeit 1 + 1'],
    ['a cell magic', '\n%%bash\nfor x in *; do echo $x; done'],
    ['several', '%pip install x\n!ls\nawait f()'],
  ])('notebook syntax, %s, is told how to run', async (_what, code) => {
    const { status, error } = await runPython(server, code);
    expect(status).toBe('error');
    expect(error).toMatchObject({ name: 'SyntaxError', hint: expect.stringContaining('context: "main"') });
  });

  test.each([
    ['another mistake', 'await f()\nx = = 1'],
    ['a remainder over two lines', 'x = (1\n% 2\ny = 3'],
    ['await in a function', 'def f():\n    await g()'],
    ['await in a class', 'class C:\n    await g()'],
    ['code of its own making', 'compile("!ls", __file__, "exec")'],
    ['an exception of its own', 'raise SyntaxError("!ls")'],
    ['text of a magic', 's = """\n!ls\n"""\nif:'],
  ])('%s is no notebook syntax', async (_what, code) => {
    const { status, error } = await runPython(server, code);
    expect(status).toBe('error');
    expect(error).not.toHaveProperty('hint');
  });
});

describe('limits of a run', () => {
  test('a timeout ends it by an interrupt, with what it printed and wrote before', async () => {
    const code = 'import time\nprint("before")\nopen("partial", "w").write("12")\ntime.sleep(60)';
    const id = await openSession(server);
    const result = await runPython(server, code, { timeout_s: 0.5, session_id: id });
    expect(result).toMatchObject({
      status: 'timeout',
      exit_code: null,
      stdout: 'before\n',
      files: [{ path: 'partial', size: 2 }],
      limit: { name: 'timeout_s', value: 0.5, setting: expect.stringContaining('timeout_s') },
      termination: { by: 'interrupt' },
    });
    expect(result.duration_ms).toBeGreaterThan(500);
    expect(result.duration_ms).toBeLessThan(1500);
  });

  test('cleaning up after the interrupt is still heard', async () => {
    const code = 'import time\ntry: time.sleep(60)\nfinally: print("cleaned")';
    expect(await runPython(server, code, { timeout_s: 0.5 })).toMatchObject({ status: 'timeout', stdout: 'cleaned\n' });
  });

  test('long output: its head, its tail, and how many bytes were left out between', async () => {
    const code = 'import sys\nfor i in range(10_000): print(f"{i:05}")\nsys.stderr.write("e" * 5000)';
    const { stdout, stderr, truncated } = await runPython(server, code);
    expect(stdout).toMatch(/^00000\n00001\n/);
    expect(stdout).toMatch(/09998\n09999\n$/);
    const marker = `\n… ${truncated?.stdout?.bytes} bytes left out …\n`;
    expect(stdout).toContain(marker);
    expect(stdout.length - marker.length + (truncated?.stdout?.bytes ?? 0)).toBe(60_000);
    expect(truncated?.stderr?.bytes).toBe(3000);
    expect(stderr).toMatch(/^e{1000}\n… 3000 bytes left out …\ne{1000}$/);
  });

  test('output exactly at the limit is whole', async () => {
    const result = await runPython(server, 'print("x" * 1999)');
    expect(result.stdout).toHaveLength(2000);
    expect(result).not.toHaveProperty('truncated');
  });

  test('characters of several bytes are not cut in two', async () => {
    const { stdout, truncated } = await runPython(server, 'print("€" * 3001, end="")');
    expect(stdout).not.toContain('\uFFFD');
    const kept = Buffer.byteLength(stdout.replace(/\n….*…\n/, ''));
    expect(kept + (truncated?.stdout?.bytes ?? 0)).toBe(9003);
  });
});

describe('a client that goes away', () => {
  test.each(['/execute', '/execute/stream'])('cancels what it ran in the foreground by %s', async (path) => {
    const id = await openSession(server);
    const container = await containerOfUser(server, await userOf(server, id));
    const uid = await userOf(server, id);
    const client = new AbortController();
    const code = 'import time, subprocess\nsubprocess.Popen(["sleep", "1234"])\ntime.sleep(60)';
    const call = post(
      server,
      path,
      { name: 'execute_python', arguments: { code, session_id: id } },
      { signal: client.signal },
    ).then(async (response) => await response.text());
    const gone = expect(call).rejects.toThrow(/abort/i);
    const sleeper = async () => (await processesOf(container, uid)).filter((args) => args === 'sleep 1234');
    await expect.poll(sleeper, { timeout: 10_000 }).toHaveLength(1);
    client.abort();
    await gone;
    await expect.poll(sleeper, { timeout: 20_000 }).toEqual([]);
    expect(await runPython(server, 'print(1)', { session_id: id })).toMatchObject({ status: 'ok', stdout: '1\n' });
  });
});

describe('/execute/stream', () => {
  test('each line arrives when it is printed, and one result ends the stream', async () => {
    const code = 'import time\nfor i in range(4):\n    print(f"Count: {i}")\n    time.sleep(0.6)';
    const events = await Array.fromAsync(streamPython(server, { code }));
    expect(events.map(({ event }) => event)).toEqual(['session', 'stdout', 'stdout', 'stdout', 'stdout', 'result']);
    const counts = events.filter(({ event }) => event === 'stdout');
    expect(counts.map(({ data }) => data)).toEqual([0, 1, 2, 3].map((i) => ({ text: `Count: ${i}\n` })));
    const gaps = counts.slice(1).map(({ at }, index) => at - (counts[index]?.at ?? 0));
    for (const gap of gaps) expect(gap).toBeGreaterThan(450);
    expect(events[0]?.data).toMatchObject({ session_id: 'default' });
    expect(events.at(-1)?.data).toMatchObject({
      name: 'execute_python',
      session_id: 'default',
      result: { status: 'ok' },
    });
  });

  test('what is printed without a line end arrives too, once it is flushed', async () => {
    const code = 'import time\nprint("half", end="", flush=True)\ntime.sleep(0.5)\nprint(" done")';
    const [first, second] = (await Array.fromAsync(streamPython(server, { code }))).filter(
      ({ event }) => event === 'stdout',
    );
    expect([first?.data, second?.data]).toEqual([{ text: 'half' }, { text: ' done\n' }]);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(350);
  });

  test('stdout and stderr are told apart', async () => {
    const events = await Array.fromAsync(
      streamPython(server, { code: 'import sys; print("o"); print("e", file=sys.stderr); 1 / 0' }),
    );
    const text = (name: string) =>
      events
        .filter(({ event }) => event === name)
        .map(({ data }) => (data as { text: string }).text)
        .join('');
    expect(text('stdout')).toBe('o\n');
    expect(text('stderr')).toMatch(/^e\nTraceback .*ZeroDivisionError/s);
    expect(events.at(-1)?.data).toMatchObject({ result: { status: 'error', error: { name: 'ZeroDivisionError' } } });
  });

  test('the whole of a long output is told, whatever the result keeps of it', async () => {
    const events = await Array.fromAsync(streamPython(server, { code: 'print("é" * 100_000)' }));
    const told = events.filter(({ event }) => event === 'stdout').map(({ data }) => (data as { text: string }).text);
    expect(told.join('')).toBe(`${'é'.repeat(100_000)}\n`);
  });

  test('a program that ends while its client is slow loses no output', async () => {
    const id = await openSession(server);
    const code = [
      'import os',
      'os.set_blocking(1, False)',
      'n = 0; full = 0',
      'while full < 20:',
      '    try: n += os.write(1, b"x" * 4096); full = 0',
      '    except BlockingIOError: full += 1; __import__("time").sleep(0.05)',
      'open("written", "w").write(str(n))',
    ].join('\n');
    const stream = streamPython(server, { code, session_id: id });
    expect((await stream.next()).value).toMatchObject({ event: 'session' });
    const written = { code: 'print(open("written").read())', session_id: id };
    const look = async () => (await callTool(server, 'execute_python', written)) as { status: string; stdout: string };
    await expect.poll(async () => (await look()).status, { timeout: 20_000, interval: 100 }).toBe('ok');
    let told = 0;
    for await (const { event, data } of stream) if (event === 'stdout') told += (data as { text: string }).text.length;
    expect(told).toBe(Number((await look()).stdout));
  });

  test('a call that cannot begin ends in one error', async () => {
    const args = { code: 'print(1)', session_id: `gbx_${'A'.repeat(24)}` };
    const events = await Array.fromAsync(streamPython(server, args));
    expect(events).toMatchObject([{ event: 'error', data: { error: { code: 'session_not_found' } } }]);
  });

  test('a silent program is kept alive by comments', { timeout: 30_000 }, async () => {
    for await (const { event } of streamPython(server, { code: 'import time; time.sleep(25)' })) {
      if (event === 'comment') return;
      expect(event).toBe('session');
    }
    expect.fail('no comment came');
  });
});

describe('list_installed_packages', () => {
  test('names each package once, with version and source', async () => {
    await callTool(server, 'list_installed_packages', {});
    const { packages } = (await callTool(server, 'list_installed_packages', {})) as { packages: { name: string }[] };
    expect(new Set(packages.map(({ name }) => name)).size).toBe(packages.length);
    expect(packages).toContainEqual({ name: 'pip', version: expect.stringMatching(/^\d+\./), source: 'image' });
  });

  test("tells the session's own packages from the image's", async () => {
    const id = await openSession(server);
    const code = [
      'import os, sys',
      'd = f"/workspace/.local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/mine-1.5.dist-info"',
      'os.makedirs(d); open(d + "/METADATA", "w").write("Metadata-Version: 2.1\\nName: mine\\nVersion: 1.5\\n")',
    ].join('\n');
    await runPython(server, code, { session_id: id });
    const { packages } = (await callTool(server, 'list_installed_packages', { session_id: id })) as {
      packages: object[];
    };
    expect(packages).toContainEqual({ name: 'mine', version: '1.5', source: 'session' });
  });
});
