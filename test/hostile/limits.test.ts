import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type Server, startServer } from '../support/server.ts';
import { expectUsable, openVictim, see } from './setup.ts';

const CHILD_ENDED = {
  name: 'memory_mb',
  value: 256,
  ended: 'a child process',
  setting: expect.stringContaining('GLOVEBOX_MEMORY_MB'),
};

/** Memory and files of gVisor are its own processes' memory: its kernel ends no process for the last of it. */
const isGvisor = inject('isGvisor');

let server: Server;
beforeAll(async () => {
  const env = { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_DISK_MB: '16', GLOVEBOX_PIDS: '64', GLOVEBOX_POOL_SIZE: '1' };
  server = await startServer({ env });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('code that allocates', () => {
  test('without end is ended by the memory limit, and the result says so', async () => {
    const victim = await openVictim(server);
    const result = await victim.run('print("go", flush=True)\nb = []\nwhile True: b.append(bytearray(1 << 20))', {
      timeout_s: 20,
    });
    if (isGvisor) {
      // A MemoryError, or the end of the sandbox, which costs the files.
      expect(result.status).toMatch(/^(error|crashed)$/);
      expect(result.session_reset?.lost ?? ['files']).toContain('files');
      return;
    }
    expect(result).toMatchObject({
      status: 'out_of_memory',
      exit_code: null,
      stdout: 'go\n',
      limit: { name: 'memory_mb', value: 256, setting: expect.stringContaining('GLOVEBOX_MEMORY_MB') },
    });
    await expectUsable(victim);
  });

  test.skipIf(isGvisor)('without end in a child process: the memory limit ends that, and files stay', async () => {
    const victim = await openVictim(server);
    await victim.run('open("kept", "w").write("1")');
    const code = [
      'import subprocess, sys',
      'p = subprocess.run([sys.executable, "-c", "b = []\\nwhile True: b.append(bytearray(1 << 20))"])',
      'print(p.returncode)',
    ].join('\n');
    expect(await victim.run(code, { timeout_s: 20 })).toMatchObject({
      status: 'ok',
      stdout: '-9\n',
      limit: CHILD_ENDED,
    });
    expect(await victim.run('print(open("kept").read())')).toMatchObject({ stdout: '1\n' });
    expect(await victim.run('print(1)')).not.toHaveProperty('limit');
  });

  test.skipIf(isGvisor)(
    'in a worker of a context: its error says that the memory limit ended a child process, and the next cell has none',
    async () => {
      const victim = await openVictim(server);
      const code = [
        'from concurrent.futures import ProcessPoolExecutor',
        'def fill():',
        '    b = []',
        '    while True: b.append(bytearray(1 << 20))',
        'with ProcessPoolExecutor(1) as pool: pool.submit(fill).result()',
      ].join('\n');
      expect(await victim.run(code, { context: 'main', timeout_s: 20 })).toMatchObject({
        status: 'error',
        error: { name: 'BrokenProcessPool' },
        context: { alive: true },
        limit: CHILD_ENDED,
      });
      expect(await victim.run('import subprocess; subprocess.run("true")', { context: 'main' })).not.toHaveProperty(
        'limit',
      );
    },
  );

  test.skipIf(isGvisor)(
    'in a child of a background execution: its result says so, and one beside it without children is not blamed',
    async () => {
      const victim = await openVictim(server);
      const beside = victim.run(
        'import os, time\nopen("begun", "w")\nwhile not os.path.exists("ended"): time.sleep(0.05)',
        { timeout_s: 60 },
      );
      const { execution_id: id } = await victim.run(
        [
          'import os, subprocess, sys, time',
          'while not os.path.exists("begun"): time.sleep(0.05)',
          'subprocess.run([sys.executable, "-c", "b = []\\nwhile True: b.append(bytearray(1 << 20))"])',
          'open("ended", "w")',
        ].join('\n'),
        { background: true, timeout_s: 60 },
      );
      expect(await beside).toMatchObject({ status: 'ok' });
      expect(await beside).not.toHaveProperty('limit');
      const get = async () => (await fetch(`${server.url}/executions/${id}`)).json();
      await expect.poll(get, { timeout: 20_000 }).toMatchObject({ status: 'ok', limit: CHILD_ENDED });
    },
  );

  test.skipIf(isGvisor)(
    'until it is ended itself is not told of one beside it whose children ended as they should',
    async () => {
      const victim = await openVictim(server);
      const beside = victim.run(
        'import os, subprocess, time\nopen("begun", "w")\nsubprocess.run("true")\nwhile not os.path.exists("ended"): time.sleep(0.05)',
        { timeout_s: 60 },
      );
      const fill =
        'import os, time\nwhile not os.path.exists("begun"): time.sleep(0.05)\nb = []\nwhile True: b.append(bytearray(1 << 20))';
      expect(await victim.run(fill, { timeout_s: 60 })).toMatchObject({ status: 'out_of_memory' });
      await victim.run('open("ended", "w")');
      expect(await beside).toMatchObject({ status: 'ok' });
      expect(await beside).not.toHaveProperty('limit');
    },
  );

  test('more than there is in one go gets a MemoryError, and the next call works', async () => {
    const victim = await openVictim(server);
    const { status, error } = await victim.run('b = bytearray(1 << 46)');
    expect({ status, name: error?.name }).toEqual({ status: 'error', name: 'MemoryError' });
    await expectUsable(victim);
  });
});

describe('code that fills', () => {
  test.each(['/workspace', '/tmp', '/dev/shm'])('%s gets an OSError, and the next call works', async (folder) => {
    const victim = await openVictim(server);
    const code = [
      `i = 0`,
      `try:`,
      `    while True:`,
      `        with open(f"${folder}/fill-{i}", "wb") as f: f.write(b"x" * (1 << 20))`,
      `        i += 1`,
      `except OSError as e: print(e.strerror)`,
    ].join('\n');
    expect(await victim.run(code, { timeout_s: 20 })).toMatchObject({
      status: 'ok',
      stdout: 'No space left on device\n',
    });
    expect(await victim.run('print(1)')).toMatchObject({ status: 'ok', stdout: '1\n' });
    const tidy = `import os\nfor n in os.listdir("${folder}"):\n    if n.startswith("fill"): os.unlink("${folder}/" + n)`;
    expect((await victim.run(tidy)).status).toBe('ok');
    await expectUsable(victim);
  });

  test.skipIf(isGvisor).each(['/workspace', '/tmp'])(
    '%s with inodes gets an OSError, and the next call works',
    async (folder) => {
      const victim = await openVictim(server);
      const code = `i = 0\ntry:\n    while True:\n        open(f"${folder}/{i}", "w").close(); i += 1\nexcept OSError as e: print(e.strerror)`;
      expect(await victim.run(code, { timeout_s: 30 })).toMatchObject({
        status: 'ok',
        stdout: 'No space left on device\n',
      });
      const traced = await victim.run('def f():\n    1 / 0\nf()');
      expect(traced).toMatchObject({ status: 'error', error: { name: 'ZeroDivisionError' } });
      expect(traced.error?.traceback).toContain('1 / 0');
    },
  );

  test('a sparse file of a terabyte is refused, and is no flood of bytes', async () => {
    const victim = await openVictim(server);
    const code =
      'import os\ntry: os.truncate(os.open("big", os.O_CREAT | os.O_RDWR), 1 << 40)\nexcept OSError as e: print(e.strerror)';
    expect((await victim.run(code)).stdout).toBe('File too large\n');
    await expectUsable(victim);
  });

  test('every descriptor gets an OSError, and the next call works', async () => {
    const victim = await openVictim(server);
    const code = 'import os\ntry:\n    while True: os.open("/dev/null", 0)\nexcept OSError as e: print(e.strerror)';
    expect((await victim.run(code)).stdout).toBe('Too many open files\n');
    await expectUsable(victim);
  });
});

/** What gVisor takes, and does nothing with. */
const IDLE_IN_GVISOR = ['a better priority: refused', 'safety when memory runs out: refused'];

describe('code that asks for', () => {
  const cases: readonly [what: string, code: string, outcome: unknown][] = [
    ['core dumps: there are none', 'print(json.dumps(resource.getrlimit(resource.RLIMIT_CORE)))', [0, 0]],
    [
      'a higher limit of open files: refused',
      'print(json.dumps(attempt(resource.setrlimit, resource.RLIMIT_NOFILE, (1 << 20, 1 << 20))))',
      'ValueError',
    ],
    [
      'files longer than the limit: refused',
      'print(json.dumps(attempt(resource.setrlimit, resource.RLIMIT_FSIZE, (-1, -1))))',
      'ValueError',
    ],
    ['a better priority: refused', 'print(json.dumps(attempt(os.nice, -5)))', 'EPERM'],
    [
      'a place before all others: refused',
      'print(json.dumps(attempt(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(50))))',
      isGvisor ? 'EINVAL' : 'EPERM',
    ],
    [
      'safety when memory runs out: refused',
      'print(json.dumps(attempt(os.write, os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000")))',
      'EACCES',
    ],
    [
      'memory that cannot be swapped out: it counts like all other, and the limit of locked memory holds',
      'libc = ctypes.CDLL(None, use_errno=True)\nm = mmap.mmap(-1, 1 << 30)\nr = libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(m))), ctypes.c_size_t(1 << 30))\nprint(json.dumps([r, errno.errorcode[ctypes.get_errno()] in ("ENOMEM", "EPERM", "EAGAIN")]))',
      [-1, true],
    ],
    [
      'a sparse file in memory of a terabyte: refused',
      'print(json.dumps(attempt(os.ftruncate, os.memfd_create("m"), 1 << 40)))',
      'EFBIG',
    ],
    [
      'pipes without end: it runs out of descriptors',
      'def flood():\n    while True: os.pipe()\nprint(json.dumps(attempt(flood)))',
      'EMFILE',
    ],
    [
      'watches of files without end: its own user runs out of them',
      'libc = ctypes.CDLL(None, use_errno=True)\ndef flood():\n    while True:\n        if libc.inotify_init1(0) < 0: raise OSError(ctypes.get_errno(), "")\nprint(json.dumps(attempt(flood)))',
      'EMFILE',
    ],
    [
      'an argument longer than the kernel takes: refused',
      'print(json.dumps(attempt(os.execv, "/bin/true", ["true", "x" * (1 << 24)])))',
      isGvisor ? 'ENAMETOOLONG' : 'E2BIG',
    ],
    [
      'a file by links in a circle: refused',
      'os.symlink("circle", "circle")\nprint(json.dumps([attempt(open, "circle"), attempt(os.listdir, "circle/circle")]))',
      ['ELOOP', 'ELOOP'],
    ],
  ];
  for (const [what, code, outcome] of cases) {
    test.skipIf(isGvisor && IDLE_IN_GVISOR.includes(what))(what, async () => {
      const victim = await openVictim(server);
      expect(await see(victim, `import ctypes, mmap, resource\n${code}`)).toEqual(outcome);
      await expectUsable(victim);
    });
  }
});
