import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runPython, streamPython } from '../support/rest-client.ts';
import { residentMib, type Server, startServer } from '../support/server.ts';
import { expectNoneToSpare, expectUsable, LADDER_MS, openVictim } from './setup.ts';

const CHILD_ENDED = {
  name: 'memory_mb',
  value: 256,
  ended: 'a child process',
  setting: expect.stringContaining('GLOVEBOX_MEMORY_MB'),
};

let server: Server;
let atStart: number;
beforeAll(async () => {
  const env = { GLOVEBOX_MEMORY_MB: '256', GLOVEBOX_DISK_MB: '16', GLOVEBOX_PIDS: '64', GLOVEBOX_POOL_SIZE: '1' };
  server = await startServer({ env });
  // Buffers for fast output are taken once and kept: growth beyond these would be a leak.
  await runPython(server, 'import os\nfor _ in range(2048): os.write(1, b"x" * 65536)');
  atStart = residentMib(server.pid);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe('code that prints', () => {
  test('without end is ended at its time limit, with the head and the tail of it', async () => {
    const victim = await openVictim(server);
    const result = await victim.run('i = 0\nwhile True:\n    print(i); i += 1');
    expect(result).toMatchObject({ status: 'timeout', exit_code: null, limit: { value: 3 } });
    expect(result.stdout).toMatch(/^0\n1\n2\n/);
    expect(result.stdout.length).toBeLessThan(70_000);
    expect(result.truncated?.stdout?.bytes).toBeGreaterThan(1_000_000);
    expect(result.duration_ms).toBeLessThan(3000 + LADDER_MS);
    await expectUsable(victim);
  });

  test('without end to both streams from many threads is ended too', async () => {
    const victim = await openVictim(server);
    const code = [
      'import os, threading',
      'def flood(fd):',
      '    while True: os.write(fd, b"x" * 65536)',
      'for fd in (1, 2) * 8: threading.Thread(target=flood, args=(fd,)).start()',
    ].join('\n');
    const result = await victim.run(code, { timeout_s: 2 });
    expect(result.status).toBe('timeout');
    expect(result.truncated).toMatchObject({
      stdout: { bytes: expect.any(Number) },
      stderr: { bytes: expect.any(Number) },
    });
    await expectUsable(victim);
  });

  test('a gigabyte: other sessions keep answering and the control plane stays small', async () => {
    const [loud, quiet] = [await openVictim(server), await openVictim(server)];
    const before = residentMib(server.pid);
    let [most, answers, done] = [before, 0, false];
    const flood = loud
      .run(
        'import os\nb = b"y" * (1 << 20)\nfor _ in range(1024):\n    n = 0\n    while n < len(b): n += os.write(1, b[n:])',
        {
          timeout_s: 60,
        },
      )
      .finally(() => {
        done = true;
      });
    while (!done) {
      const { stdout, duration_ms } = await quiet.run('print(1)');
      expect(stdout).toBe('1\n');
      expect(duration_ms).toBeLessThan(2000);
      most = Math.max(most, residentMib(server.pid));
      answers += 1;
      await setTimeout(50);
    }
    const result = await flood;
    expect(result.status).toBe('ok');
    expect((result.truncated?.stdout?.bytes ?? 0) + result.stdout.length).toBeGreaterThan(2 ** 30);
    expect(answers).toBeGreaterThan(10);
    expect(most - before).toBeLessThan(80);
  });

  test('to a stream that its client does not read is held back, not gathered', async () => {
    const before = residentMib(server.pid);
    const victim = await openVictim(server);
    const client = new AbortController();
    const code = [
      'import os',
      'count = os.open("count", os.O_CREAT | os.O_WRONLY)',
      'for n in range(1 << 30): os.write(1, b"z" * 65536); os.pwrite(count, b"%d" % n, 0)',
    ].join('\n');
    const stream = streamPython(server, { code, session_id: victim.id, timeout_s: 30 }, { signal: client.signal });
    expect((await stream.next()).value).toMatchObject({ event: 'session' });
    const look = async () => Number((await victim.run('print(open("count").read())')).stdout);
    let [last, now, still] = [-1, 0, 0];
    while (still < 5) {
      [last, now] = [now, await look()];
      still = now === last && now > 0 ? still + 1 : 0;
    }
    expect(now).toBeLessThan(1000);
    expect(residentMib(server.pid) - before).toBeLessThan(80);
    client.abort();
    await stream.return(undefined);
    await expect.poll(victim.leftovers, { timeout: 5000 }).toEqual([]);
    await expectUsable(victim);
  });
});

describe('code that allocates', () => {
  test('without end is ended by the memory limit, and the result says so', async () => {
    const victim = await openVictim(server);
    const result = await victim.run('print("go", flush=True)\nb = []\nwhile True: b.append(bytearray(1 << 20))', {
      timeout_s: 20,
    });
    expect(result).toMatchObject({
      status: 'out_of_memory',
      exit_code: null,
      stdout: 'go\n',
      limit: { name: 'memory_mb', value: 256, setting: expect.stringContaining('GLOVEBOX_MEMORY_MB') },
    });
    await expectUsable(victim);
  });

  test('without end in a child process: the memory limit ends that, and files stay', async () => {
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

  test('in a worker of a context: its error says that the memory limit ended a child process, and the next cell has none', async () => {
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
  });

  test('in a child of a background execution: its result says so, and one beside it without children is not blamed', async () => {
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
  });

  test('until it is ended itself is not told of one beside it whose children ended as they should', async () => {
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
  });

  test('more than there is in one go gets a MemoryError or is ended, and the next call works', async () => {
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

  test.each(['/workspace', '/tmp'])('%s with inodes gets an OSError, and the next call works', async (folder) => {
    const victim = await openVictim(server);
    const code = `i = 0\ntry:\n    while True:\n        open(f"${folder}/{i}", "w").close(); i += 1\nexcept OSError as e: print(e.strerror)`;
    expect(await victim.run(code, { timeout_s: 30 })).toMatchObject({
      status: 'ok',
      stdout: 'No space left on device\n',
    });
    const traced = await victim.run('def f():\n    1 / 0\nf()');
    expect(traced).toMatchObject({ status: 'error', error: { name: 'ZeroDivisionError' } });
    expect(traced.error?.traceback).toContain('1 / 0');
  });

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

describe('code that forks', () => {
  test('without end: its own forks fail, it is ended, and the next call works', async () => {
    const victim = await openVictim(server);
    const code = 'import os\nprint("go", flush=True)\nwhile True:\n    try: os.fork()\n    except OSError: pass';
    const result = await victim.run(code);
    expect(result).toMatchObject({ status: 'timeout', stdout: expect.stringContaining('go\n') });
    expect(result.duration_ms).toBeLessThan(3000 + LADDER_MS);
    await expectUsable(victim);
  });

  test('to the limit and stays: other calls of its session run or are told why not, at once', async () => {
    const victim = await openVictim(server);
    const code = 'import os, time\ntry:\n    while os.fork(): pass\nexcept OSError: open("full", "w")\ntime.sleep(60)';
    const full = victim.run(code, { timeout_s: 3 });
    for (let call = 0; call < 10; call += 1) {
      const { status, stdout, stderr, duration_ms } = await victim.run('print(1)');
      expect([`ok 1\n`, expect.stringMatching(/^crashed .*limit of processes/)]).toContainEqual(
        `${status} ${stdout}${stderr}`,
      );
      expect(duration_ms).toBeLessThan(2000);
    }
    expect(await full).toMatchObject({ status: 'timeout' });
    await expectUsable(victim);
  });

  test('threads without end: they fail, and the next call works', async () => {
    const victim = await openVictim(server);
    const code = [
      'import threading, time',
      'try:',
      '    while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()',
      'except RuntimeError as e: print(e)',
    ].join('\n');
    expect((await victim.run(code)).stdout).toBe("can't start new thread\n");
    await expectUsable(victim);
  });
});

test('after all of this the control plane is as small as before, and has no sandbox to spare', async () => {
  await expectNoneToSpare(server);
  // Node gives memory back when it comes to it: what is still grown by then stays.
  const grownMib = () => residentMib(server.pid) - atStart;
  await expect.poll(grownMib, { timeout: 60_000, interval: 500 }).toBeLessThan(120);
}, 90_000);
