import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { expectUsable, OTHERS, openVictim, type Victim } from './setup.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_POOL_SIZE: '1' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('code that meddles', () => {
  const see = async ({ run }: Victim, code: string): Promise<unknown> => {
    const { stdout, stderr } = await run(`import json\n${OTHERS}\n${code}`);
    expect(stderr).toBe('');
    return JSON.parse(stdout) as unknown;
  };

  test('reads no memory and opens no descriptor of the runner, a supervisor, or what waits for the next call', async () => {
    const victim = await openVictim(server);
    const seen = await see(
      victim,
      [
        'def attempt(action, *args):',
        '    try: action(*args); return "done"',
        '    except OSError as e: return type(e).__name__',
        'paths = [f"/proc/{p}/{what}" for p in others() for what in ("mem", "environ", "maps", "fd/0", "fd/1", "fd/3")]',
        'print(json.dumps({path: attempt(open, path, "rb") for path in paths}))',
      ].join('\n'),
    );
    const answers = Object.entries(seen as Record<string, string>);
    expect(answers.length).toBeGreaterThanOrEqual(12);
    expect(answers.filter(([, answer]) => answer !== 'PermissionError')).toEqual([]);
  });

  test('does neither in the moment in which one of these is made', async () => {
    const victim = await openVictim(server);
    const seen = await see(
      victim,
      [
        // All but its supervisor and the runner: what waits already makes way for others.
        'supervisor = os.getppid()',
        'runner = int(open(f"/proc/{supervisor}/stat").read().rpartition(")")[2].split()[1])',
        'opened = []; known = {supervisor, runner}; deadline = time.monotonic() + 1.5; made = 0',
        'while time.monotonic() < deadline:',
        '    fresh = set(others()) - known',
        '    made += len(fresh); known |= fresh',
        '    for p in fresh:',
        '        for _ in range(40):',
        '            try: open(f"/proc/{p}/mem", "rb"); opened.append(p)',
        '            except OSError: pass',
        '    for p in fresh:',
        '        try: os.kill(p, 9)',
        '        except OSError: pass',
        'print(json.dumps([made, len(opened)]))',
      ].join('\n'),
    );
    const [made, opened] = seen as [number, number];
    expect(made).toBeGreaterThan(5);
    expect(opened).toBe(0);
  });

  test('attaches to no other process, and reads none by system call', async () => {
    const victim = await openVictim(server);
    const seen = await see(
      victim,
      [
        'import ctypes',
        'libc = ctypes.CDLL(None, use_errno=True)',
        'buffer = ctypes.create_string_buffer(16)',
        'class Vec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]',
        'vec = Vec(ctypes.addressof(buffer), 16)',
        'print(json.dumps([[libc.ptrace(16, p, 0, 0), libc.process_vm_readv(p, ctypes.byref(vec), 1, ctypes.byref(vec), 1, 0)] for p in others()]))',
      ].join('\n'),
    );
    expect((seen as unknown[][]).flat().filter((result) => result !== -1)).toEqual([]);
  });

  test('writing frames to every open descriptor reaches nobody', async () => {
    const victim = await openVictim(server);
    const bystander = await openVictim(server);
    const code = [
      'import json, os, struct',
      'def frame(kind, stream, payload): return struct.pack(">IBI", len(payload), kind, stream) + payload',
      'end = json.dumps({"exit_code": 0, "signal": None, "oom_killed": False, "survivors": False, "error": None, "files": [], "cpu_ms": 0, "peak_memory_bytes": 0}).encode()',
      'forged = b"".join(frame(17, s, b"forged") + frame(19, s, end) for s in range(1, 9)) + b"\\xff" * 4096',
      'fds = [int(n) for n in os.listdir("/proc/self/fd")]',
      'for fd in fds + [1021, 1022, 1023]:',
      '    for action in (lambda: os.write(fd, forged), lambda: os.write(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK), forged)):',
      '        try: action()',
      '        except OSError: pass',
      'os._exit(9)',
    ].join('\n');
    const result = await victim.run(code);
    expect(result).toMatchObject({ status: 'error', exit_code: 9 });
    expect(result.files).toEqual([]);
    await expectUsable(victim);
    await expectUsable(bystander);
  });

  test('a forged report of an exception is text like any other, however odd', async () => {
    const victim = await openVictim(server);
    const forge = (body: string) =>
      `import os, json\nfor fd in (1023, 1022):\n    try: os.write(fd, ${body}); break\n    except OSError: pass\nos._exit(1)`;
    const odd = 'json.dumps({"name": "\\ud800", "value": "v" * 60000, "traceback": "\\0"}).encode()';
    expect((await victim.run(forge(odd))).status).toBe('error');
    for (const body of ['b"[" * 60000', 'b"1" * 60000', 'b"\\xff" * 100', 'b\'{"name": 1}\'']) {
      const result = await victim.run(forge(body));
      expect(result).toMatchObject({ status: 'error', exit_code: 1 });
      expect(result).not.toHaveProperty('error');
    }
    await expectUsable(victim);
  });

  test('an exception whose name, text and traceback are huge or fail is reported within bounds', async () => {
    const victim = await openVictim(server);
    const huge = await victim.run('raise type("E" * 1_000_000, (Exception,), {})("v" * 1_000_000)');
    expect(huge.status).toBe('error');
    expect(JSON.stringify(huge).length).toBeLessThan(600_000);
    const failing = await victim.run('class E(Exception):\n    def __str__(self): raise E()\nraise E()');
    expect(failing).toMatchObject({ status: 'error', error: { name: 'E' } });
    expect((await victim.run('def f(): f()\nf()')).error?.name).toBe('RecursionError');
    await expectUsable(victim);
  });

  test('files of odd names are listed or left out, and never break the result', async () => {
    const victim = await openVictim(server);
    const code = [
      'import os',
      'open(b"\\xff\\xfe.bin", "w"); open("a\\nb", "w"); open("x" * 255, "w")',
      'path = "d" * 200',
      'for _ in range(18): os.mkdir(path); os.chdir(path)',
      'open("deep", "w")',
      'os.symlink("/etc/passwd", "/workspace/link"); os.mkfifo("/workspace/fifo")',
    ].join('\n');
    const result = await victim.run(code);
    expect(result.status).toBe('ok');
    const paths = result.files.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['a\nb', 'x'.repeat(255)]));
    expect(paths).not.toContain('link');
    expect(paths).not.toContain('fifo');
    await expectUsable(victim);
  });

  test('replacing its standard streams, hooks and modules harms only itself', async () => {
    const victim = await openVictim(server);
    const code = [
      'import sys, os, builtins, json, atexit, signal',
      'sys.excepthook = lambda *a: 1 / 0; json.dumps = None; builtins.open = None; os._exit = None',
      'sys.stdout = None; sys.modules.clear(); atexit.register(lambda: 1 / 0)',
      'raise ValueError',
    ].join('\n');
    expect((await victim.run(code)).status).toMatch(/^(error|crashed)$/);
    await expectUsable(victim);
  });
});

describe('code that ends in its own way', () => {
  test.each<[what: string, code: string, outcome: Record<string, unknown>]>([
    [
      'by a signal to itself: the result says which',
      'os.kill(os.getpid(), 11)',
      { status: 'crashed', signal: 'SIGSEGV' },
    ],
    [
      'by a fault of the interpreter: the result says which',
      'ctypes.string_at(0)',
      { status: 'crashed', signal: 'SIGSEGV' },
    ],
    [
      'by a limit of processor time of its own: the result says which signal',
      'resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass',
      { status: 'crashed', signal: expect.stringMatching(/^SIG(XCPU|KILL)$/) },
    ],
    ['with a code that is no code: the result has a byte of it', 'os._exit(300)', { status: 'error', exit_code: 44 }],
    [
      'by replacing itself with another program: what that says is its output',
      'sys.stdout.flush(); os.execv("/bin/echo", ["echo", "other"])',
      { status: 'ok', stdout: 'other\n' },
    ],
    [
      'by leaving no room for itself: the error says so',
      'resource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20)); x = bytearray(1 << 24)',
      { status: expect.stringMatching(/^(error|crashed)$/) },
    ],
  ])('%s', async (_what, code, outcome) => {
    const victim = await openVictim(server);
    expect(await victim.run(`import ctypes, os, resource, sys\n${code}`, { timeout_s: 20 })).toMatchObject(outcome);
    await expectUsable(victim);
  });

  test('with modules in the workspace that the runner could import: the runner imports none of them', async () => {
    const victim = await openVictim(server);
    const names = ['sitecustomize', 'usercustomize', '_glovebox', 'selectors', 'struct', 'importlib_metadata'];
    const code = `for n in ${JSON.stringify(names)}: open(f"/workspace/{n}.py", "w").write("import os; os._exit(9)")`;
    expect((await victim.run(code)).status).toBe('ok');
    const tidy = `import os\nfor n in ${JSON.stringify(names)}: os.unlink(f"/workspace/{n}.py")\nprint("tidy")`;
    expect(await victim.run(tidy)).toMatchObject({ status: 'ok', stdout: 'tidy\n' });
    await expectUsable(victim);
  });
});

describe('output that is no text', () => {
  test('invalid UTF-8 comes with replacement characters', async () => {
    const result = await runPython(server, 'import sys\nsys.stdout.buffer.write(b"a\\xff\\xc3(b\\xed\\xa0\\x80c\\n")');
    expect(result.status).toBe('ok');
    expect(result.stdout).toMatch(/^a\uFFFD+\(b\uFFFD+c\n$/);
  });

  test('a character that arrives in pieces is one character', async () => {
    const code = 'import os, time\nfor b in "€😀".encode():\n    os.write(1, bytes([b])); time.sleep(0.05)';
    expect((await runPython(server, code)).stdout).toBe('€😀');
  });

  test('NUL and terminal escapes come through as they are', async () => {
    expect((await runPython(server, 'print("a\\0b\\x1b[31m")')).stdout).toBe('a\0b\x1b[31m\n');
  });

  test('a lone surrogate is an error of the code, as at a terminal', async () => {
    const result = await runPython(server, 'print("\\ud800")');
    expect(result).toMatchObject({ status: 'error', error: { name: 'UnicodeEncodeError' } });
  });
});
