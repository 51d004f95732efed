import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type ErrorAnswer, post, runPython, streamPython } from '../support/rest-client.ts';
import { residentMib, type Server, startServer } from '../support/server.ts';
import { expectNoneToSpare, expectUsable, LADDER_MS, openVictim } from './setup.ts';

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
    // gVisor writes at a tenth of the pace.
    expect(result.truncated?.stdout?.bytes).toBeGreaterThan(inject('isGvisor') ? 100_000 : 1_000_000);
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

describe('code that floods its caller', () => {
  test('with displays: as many come as a result may have, and the next call works', async () => {
    const victim = await openVictim(server);
    const code =
      'from IPython.display import display, HTML\nfor n in range(20_000): display(HTML("<b>" + "x" * 1000 + "</b>"))';
    const result = await victim.run(
      code.replace(
        'from IPython.display import display, HTML',
        'class HTML:\n    def __init__(self, h): self.h = h\n    def _repr_html_(self): return self.h',
      ),
      { timeout_s: 30 },
    );
    expect(JSON.stringify(result).length).toBeLessThan(8 * 2 ** 20);
    expect(result.status).toMatch(/^(ok|error|timeout)$/);
    await expectUsable(victim);
  });

  test('with an exception of 100 megabytes: its head comes, and the next call works', async () => {
    const victim = await openVictim(server);
    const result = await victim.run('raise ValueError("x" * 100_000_000)', { timeout_s: 20 });
    expect(result.status).toMatch(/^(error|out_of_memory)$/);
    expect(JSON.stringify(result).length).toBeLessThan(2 ** 20);
    await expectUsable(victim);
  });

  test('with new files: a result lists so many, and the next call works', async () => {
    const victim = await openVictim(server);
    const code = 'try:\n    for n in range(3000): open(f"f{n}", "w").close()\nexcept OSError: pass';
    const result = await victim.run(code, { timeout_s: 20 });
    expect(result.files.length).toBeLessThanOrEqual(1000);
    expect((await victim.run('import os\nfor n in os.listdir("."): os.unlink(n)')).status).toBe('ok');
    await expectUsable(victim);
  });

  test('with warnings and log lines from many threads: the head and the tail come', async () => {
    const victim = await openVictim(server);
    const code =
      'import threading, warnings\nwarnings.simplefilter("always")\ndef loud():\n    for n in range(5000): warnings.warn("x" * 200)\nts = [threading.Thread(target=loud) for _ in range(8)]\n[t.start() for t in ts]; [t.join() for t in ts]';
    const result = await victim.run(code, { timeout_s: 30 });
    expect(result.status).toMatch(/^(ok|timeout)$/);
    expect(result.stderr.length).toBeLessThan(100_000);
    await expectUsable(victim);
  });

  test('with contexts: a session has so many, one more is refused, and the others go on', async () => {
    const victim = await openVictim(server);
    const refused: string[] = [];
    for (let n = 0; n < 24 && refused.length === 0; n += 1) {
      const answer = await post(server, '/execute', {
        name: 'execute_python',
        arguments: { code: 'x = 1', session_id: victim.id, context: `c${n}`, timeout_s: 20 },
      });
      if (!answer.ok) refused.push(((await answer.json()) as ErrorAnswer).error.code);
    }
    expect(refused).not.toContain('internal_error');
    expect((await victim.run('print(x)', { context: 'c0', timeout_s: 20 })).status).toMatch(/^(ok|error)$/);
    expect((await victim.run('print(1)')).status).toMatch(/^(ok|crashed)$/);
  });

  test('with executions in the background: one too many is refused as busy, and the session can still be closed', async () => {
    const victim = await openVictim(server);
    const codes = new Set<string>();
    for (let n = 0; n < 40; n += 1) {
      const answer = await post(server, '/execute', {
        name: 'execute_python',
        arguments: { code: 'import time; time.sleep(60)', session_id: victim.id, background: true },
      });
      if (!answer.ok) codes.add(((await answer.json()) as ErrorAnswer).error.code);
    }
    expect([...codes]).toEqual(['session_busy']);
    expect((await fetch(`${server.url}/sessions/${victim.id}`, { method: 'DELETE' })).status).toBe(204);
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
