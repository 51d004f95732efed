import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runPythonBy, STDIO, textOf } from '../support/mcp-clients.ts';
import {
  callTool,
  closeSession,
  type Execution,
  openSession,
  runPython,
  streamPython,
} from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

let server: Server;
let session_id: string;
beforeAll(async () => {
  const env = {
    GLOVEBOX_OUTPUT_LIMIT: '2000',
    GLOVEBOX_OUTPUT_KEEP_LIMIT: '1000000',
    GLOVEBOX_MEMORY_MB: '256',
    GLOVEBOX_DISK_MB: '32',
    GLOVEBOX_PIDS: '64',
  };
  server = await startServer({ env });
  session_id = await openSession(server);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const run = (code: string, args: Record<string, unknown> = {}) => runPython(server, code, { session_id, ...args });
const download = async (path: string, range?: string) => {
  const url = `${server.url}/sessions/${session_id}/files/${path}`;
  const response = await fetch(url, range ? { headers: { range: `bytes=${range}` } } : {});
  return { status: response.status, bytes: Buffer.from(await response.arrayBuffer()) };
};

/** What `print` makes of 0, 1, 2 … in so many digits. */
const numbers = (count: number, digits = 5) =>
  Array.from({ length: count }, (_, n) => `${String(n).padStart(digits, '0')}\n`).join('');

describe.each([
  ['a fresh execution', {}],
  ['a context', { context: 'main' }],
])('long output of %s', (_kind, args) => {
  test('is cut in the result and whole in the session’s files, by read_file, by ranges and for code', async () => {
    const code = 'import sys\nfor n in range(10_000): print(f"{n:05}")\nsys.stderr.write("e" * 3000)';
    const { stdout, truncated } = await run(code, args);
    expect(stdout).toMatch(/^00000\n.*\n… 58000 bytes left out …\n.*\n09999\n$/s);
    expect(truncated?.stdout).toMatchObject({ bytes: 58_000, total_bytes: 60_000, file_bytes: 60_000 });
    expect(truncated?.stderr).toMatchObject({ bytes: 1000, total_bytes: 3000, file_bytes: 3000 });
    const path = truncated?.stdout?.file ?? '';
    expect(path).toMatch(/^\.glovebox\/outputs\/exe_[\w-]+\.stdout$/);
    const whole = numbers(10_000);
    expect((await download(path)).bytes.toString()).toBe(whole);
    const part = await download(path, '30000-30005');
    expect([part.status, part.bytes.toString()]).toEqual([206, '05000\n']);
    const read = await callTool(server, 'read_file', { session_id, path, offset: 59_994 });
    expect(read).toMatchObject({ content: '09999\n', size: 60_000 });
    expect((await run(`print(len(open("${path}").read()))`)).stdout).toBe('60000\n');
    expect((await download(truncated?.stderr?.file ?? '')).bytes.toString()).toBe('e'.repeat(3000));
  });

  test('of bytes that are no text is kept as it was', async () => {
    const code = 'import os\nfor _ in range(20): os.write(1, bytes(range(256)))';
    const { status, stdout, truncated } = await run(code, args);
    expect(status).toBe('ok');
    expect(stdout).toContain('\0');
    expect(stdout).toContain('\uFFFD');
    const { bytes } = await download(truncated?.stdout?.file ?? '');
    expect(bytes).toEqual(Buffer.concat(Array(20).fill(Buffer.from(Array.from({ length: 256 }, (_, n) => n)))));
  });

  test('is kept up to GLOVEBOX_OUTPUT_KEEP_LIMIT, and the result says that it is not all', async () => {
    const { stdout, truncated } = await run('for n in range(200_000): print(f"{n:07}")', args);
    expect(stdout).toMatch(/\n0199999\n$/);
    expect(truncated?.stdout).toMatchObject({ total_bytes: 1_600_000, file_bytes: 1_000_000 });
    const { bytes } = await download(truncated?.stdout?.file ?? '');
    expect(bytes.toString()).toBe(numbers(200_000, 7).slice(0, 1_000_000));
  });
});

describe('kept output', () => {
  test('does not fill the disk: the oldest goes first', async () => {
    const other = await openSession(server);
    const print = 'import os\nfor n in range(16): os.write(1, b"x" * 65536)';
    for (let call = 0; call < 12; call += 1) await runPython(server, print, { session_id: other });
    const code =
      'import os\np = "/workspace/.glovebox/outputs"\nprint(sum(os.stat(f"{p}/{n}").st_size for n in os.listdir(p)))';
    const kept = Number((await runPython(server, code, { session_id: other })).stdout);
    expect(kept).toBeGreaterThan(4_000_000);
    expect(kept).toBeLessThanOrEqual((32 * 2 ** 20) / 4);
    await closeSession(server, other);
  });

  test('is not among the files that a run made, and short output leaves none', async () => {
    expect((await run('print("x" * 5000)')).files).toEqual([]);
    const short = await run('print("short")');
    expect(await download(`.glovebox/outputs/${short.execution_id}.stdout`)).toMatchObject({ status: 404 });
  });

  test('that hostile code planted a link for goes nowhere', async () => {
    const other = await openSession(server);
    const code = [
      'import os, shutil',
      'shutil.rmtree("/workspace/.glovebox", ignore_errors=True)',
      'os.mkdir("/tmp/trap")',
      'os.symlink("/tmp/trap", "/workspace/.glovebox")',
      'print("x" * 100_000)',
    ].join('\n');
    const result = await runPython(server, code, { session_id: other });
    expect(result).toMatchObject({ status: 'ok', truncated: { stdout: { total_bytes: 100_001 } } });
    expect(await runPython(server, 'print("y")', { session_id: other })).toMatchObject({ status: 'ok', stdout: 'y\n' });
    await closeSession(server, other);
  });

  test('is named in the text that a model gets, with how much there is', async () => {
    await using client = await (STDIO[0]?.[1] ?? expect.fail('There is no client.'))();
    const answer = await client.call('execute_python', { code: 'print("x" * 200_000)' });
    expect(textOf(answer)).toMatch(
      /^\[truncated\] \d+ of 200001 bytes of stdout are not shown here; all of it is in \.glovebox\/outputs\/exe_[\w-]+\.stdout$/m,
    );
    expect((await runPythonBy(client, 'print(1)')).stdout).toBe('1\n');
  });
});

describe('output as it comes', () => {
  test.each([[{}], [{ context: 'main' }]])(
    'with %j: a character whose bytes come apart is told whole',
    async (args) => {
      const code = [
        'import os, time',
        'for byte in "añ日🎉".encode():',
        '    os.write(1, bytes([byte]))',
        '    time.sleep(0.02)',
        'os.write(1, b"\\xe6\\x97")',
      ].join('\n');
      const texts: string[] = [];
      for await (const { event, data } of streamPython(server, { code, session_id, ...args }))
        if (event === 'stdout') texts.push((data as { text: string }).text);
      expect(texts.join('')).toBe('añ日🎉\uFFFD');
      expect(texts.slice(0, 4)).toEqual(['a', 'ñ', '日', '🎉']);
    },
  );

  test.each([[{}], [{ context: 'main' }]])(
    'with %j: a line without an end is told while the code waits',
    async (args) => {
      await run('import os\nif os.path.exists("heard"): os.unlink("heard")');
      const code = [
        'import os, sys, time',
        'print("half", end="", flush=True)',
        'while not os.path.exists("/workspace/heard"): time.sleep(0.01)',
        'print(" done")',
      ].join('\n');
      const texts: string[] = [];
      for await (const { event, data } of streamPython(server, { code, session_id, timeout_s: 10, ...args })) {
        if (event !== 'stdout') continue;
        texts.push((data as { text: string }).text);
        await run('open("heard", "w")');
      }
      expect(texts).toEqual(['half', ' done\n']);
    },
  );
});

/** A bar as libraries draw it, over a counter that ends its states with the return, and text with line ends of Windows. */
const BARS = [
  'import sys',
  'for n in range(101): print(f"\\r{n:3}%|{chr(35) * (n // 2)}", end="", file=sys.stderr)',
  'print("\\nafter", file=sys.stderr)',
  'for n in range(101): print(f"step {n}", end="\\r")',
  'print("\\nfirst\\r\\nsecond\\r\\nlast")',
].join('\n');
const LAST_BAR = `100%|${'#'.repeat(50)}\nafter\n`;
const LAST_STEP = 'step 100\nfirst\r\nsecond\r\nlast\n';

describe('progress that is drawn with carriage returns', () => {
  test.each([[{}], [{ context: 'main' }]])(
    'with %j: the result has the last state of each line, the stream and the kept file have it all',
    async (args) => {
      let bar = '';
      let result: Execution | undefined;
      for await (const { event, data } of streamPython(server, { code: BARS, session_id, ...args })) {
        if (event === 'stderr') bar += (data as { text: string }).text;
        if (event === 'result') ({ result } = data as { result: Execution });
      }
      expect(result).toMatchObject({ status: 'ok', stdout: LAST_STEP, stderr: LAST_BAR });
      expect(bar).toContain('\r  0%|\r  1%|');
      const { file = '', bytes, total_bytes } = result?.truncated?.stderr ?? {};
      expect((await download(file)).bytes.toString()).toBe(bar);
      expect([total_bytes, bytes]).toEqual([bar.length, bar.length - LAST_BAR.length]);
      expect(result?.truncated).not.toHaveProperty('stdout');
    },
  );

  test('in the background: each part has last states, and offsets count the bytes of the stream', async () => {
    const { execution_id } = await run(BARS, { background: true });
    const ask = async (more: object) =>
      (await callTool(server, 'get_execution', { execution_id, wait_s: 20, ...more })) as Execution & {
        next: { stderr_offset: number; stdout_offset: number };
      };
    const whole = await ask({});
    expect(whole).toMatchObject({ status: 'ok', stdout: LAST_STEP, stderr: LAST_BAR });
    expect(whole.next.stderr_offset).toBe((await download(`.glovebox/outputs/${execution_id}.stderr`)).bytes.length);
    const rest = await ask({ stderr_offset: whole.next.stderr_offset - 8, stdout_offset: whole.next.stdout_offset });
    expect([rest.stdout, rest.stderr]).toEqual(['', '#\nafter\n']);
    expect(rest.next).toEqual(whole.next);
  });

  test('a bar that never ends leaves its last state, whatever came before and comes after', async () => {
    const code = [
      'import sys, itertools',
      'print("before")',
      'try:',
      '    for n in itertools.count(): sys.stdout.write(f"\\r{n} {chr(35) * 900}")',
      'finally: print("\\nafter")',
    ].join('\n');
    const { status, stdout, truncated } = await run(code, { timeout_s: 1 });
    expect(status).toBe('timeout');
    expect(stdout).toMatch(/^before\n\d+ #{900}\nafter\n$/);
    expect(truncated?.stdout?.total_bytes).toBeGreaterThan(1_000_000);
  });

  test('its last state is all that a model gets of it', async () => {
    await using client = await (STDIO[0]?.[1] ?? expect.fail('There is no client.'))();
    const answer = await client.call('execute_python', { code: BARS });
    expect(textOf(answer)).toContain(`${LAST_STEP}[stderr]\n${LAST_BAR}`);
    expect(answer.structuredContent).toMatchObject({ stdout: LAST_STEP, stderr: LAST_BAR });
  });
});

describe('half a surrogate pair', () => {
  const code = [
    'import os, sys',
    'half = chr(0xd83d)',
    'display({"text/plain": half, "application/json": {half: [half]}}, raw=True)',
    'os.write(1, half.encode("utf-8", "surrogatepass"))',
    'open(b"na\\xffme", "w")',
    'raise ValueError(f"half of an emoji: {half}")',
  ].join('\n');
  test.each([[{}], [{ context: 'main' }]])('with %j: is in no answer and no event, whatever it is in', async (args) => {
    const events: unknown[] = [];
    for await (const { data } of streamPython(server, { code, session_id, ...args })) events.push(data);
    await using client = await (STDIO[0]?.[1] ?? expect.fail('There is no client.'))();
    const answers = [await run(code, args), ...events, await client.call('execute_python', { code, ...args })];
    for (const answer of answers) expect(JSON.stringify(answer)).not.toMatch(/(?<!\\)\\ud[89a-f]/i);
    expect(answers[0]).toMatchObject({ error: { value: 'half of an emoji: \ufffd' } });
    const listed = await callTool(server, 'list_files', { session_id });
    expect(JSON.stringify(listed)).not.toMatch(/(?<!\\)\\ud[89a-f]/i);
    await run('import os\nos.unlink(b"na\\xffme")');
  });
});

describe('what the sandbox denies is named with its setting', () => {
  const deny = {
    network: 'import urllib.request\nurllib.request.urlopen("http://example.com")',
    disk_mb: 'n = 0\nwhile True:\n    open(f"fill{n}", "wb").write(b"x" * (1 << 20))\n    n += 1',
    pids: 'import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()',
    memory_mb: 'bytearray(1 << 46)',
    open_files: 'import os\nwhile True: os.open("/dev/null", 0)',
    tmp_mb: 'open("/tmp/fill", "wb").write(b"x" * (12 << 20))',
    shm_mb: 'open("/dev/shm/fill", "wb").write(b"x" * (24 << 20))',
    file_size: 'open("long", "wb").truncate(257 << 20)',
  };
  const told = {
    network: ['none', 'install_dependencies'],
    disk_mb: [32, 'GLOVEBOX_DISK_MB'],
    pids: [64, 'GLOVEBOX_PIDS'],
    memory_mb: [256, 'GLOVEBOX_MEMORY_MB'],
    open_files: [1024, 'close'],
    tmp_mb: [8, 'write to /workspace'],
    shm_mb: [16, 'write to /workspace'],
    file_size: [256 * 2 ** 20, 'GLOVEBOX_DISK_MB'],
  } as const;
  test.each(
    Object.entries(deny).flatMap(([name, code]) => [
      [name, 'fresh', code, {}] as const,
      [name, 'in a context', code, { context: 'denied' }] as const,
    ]),
  )('%s, %s', async (name, _kind, code, args) => {
    const other = await openSession(server);
    const { status, limit, error } = await runPython(server, code, { session_id: other, timeout_s: 20, ...args });
    const [value, setting] = told[name as keyof typeof told];
    expect({ status, limit }, error?.traceback).toMatchObject({
      status: 'error',
      limit: { name, value, setting: expect.stringContaining(setting) },
    });
    expect((await runPython(server, 'print(1)', { session_id: other, ...args })).stdout).toBe('1\n');
    await closeSession(server, other);
  });

  test('but an error of the code’s own is not taken for one', async () => {
    expect(await run('open("/nowhere")')).not.toHaveProperty('limit');
    expect(await run('raise RuntimeError("disk, network, memory")')).not.toHaveProperty('limit');
  });
});
