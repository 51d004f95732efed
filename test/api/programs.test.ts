import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openVictim, type Victim } from '../hostile/setup.ts';
import { LEGACY_HTTP, runPythonBy } from '../support/mcp-clients.ts';
import { type ErrorAnswer, type Execution, post } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

/** What people run comes out as under `python script.py`, or in a notebook. */

let server: Server;
let victim: Victim;

beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_MEMORY_MB: '512', GLOVEBOX_CODE_LIMIT: String(3 * 1024 * 1024) } });
  victim = await openVictim(server);
});
afterAll(async () => await server[Symbol.asyncDispose]());

const run = (code: string, args: Record<string, unknown> = {}) => victim.run(code, { timeout_s: 20, ...args });
const cell = (code: string, args: Record<string, unknown> = {}) => run(code, { context: 'main', ...args });
const lastOf = ({ results = [] }: Execution) => results.at(-1)?.['text'];
const hintOf = (execution: Execution) => (execution.error as { hint?: string } | undefined)?.hint;
const [[, connectByMcp]] = LEGACY_HTTP as [(typeof LEGACY_HTTP)[0] & object];
const BOTH = [
  ['a script', run],
  ['a context', cell],
] as const;

async function refusal(code: string, args: Record<string, unknown>): Promise<string> {
  const answer = await post(server, '/execute', {
    name: 'execute_python',
    arguments: { code, session_id: victim.id, ...args },
  });
  expect(answer.status).toBe(400);
  return ((await answer.json()) as ErrorAnswer).error.message;
}

describe('a module', () => {
  const write = (value: number) => `open("fresh.py", "w").write("V = ${value}")\n`;

  test.each(BOTH)('that is rewritten within the same second is the new one in %s', async (_where, execute) => {
    const reloaded = `import importlib\n${write(1)}import fresh\n${write(2)}importlib.reload(fresh)\nprint(fresh.V)`;
    const first = await execute(reloaded);
    expect(first).toMatchObject({ stdout: '2\n', files: [{ path: 'fresh.py', size: 5 }] });
    const anew = `import sys; sys.modules.pop("fresh", None); import importlib; importlib.invalidate_caches()\n`;
    expect((await execute(`${anew}${write(3)}import fresh\nprint(fresh.V)`)).stdout).toBe('3\n');
    expect((await execute(`${anew}import fresh\nprint(fresh.V)`)).stdout).toBe('3\n');
  });

  test('that is rewritten within the same second is the new one in programs that the code starts', async () => {
    const child =
      'print(subprocess.run([sys.executable, "-c", "import fresh; print(fresh.V)"], capture_output=True, text=True).stdout)\n';
    const { stdout } = await run(`import subprocess, sys\n${[4, 5, 6].map((value) => write(value) + child).join('')}`);
    expect(stdout.split(/\s+/)).toEqual(['4', '5', '6', '']);
  });

  test('of some age has byte code, which is no changed file', async () => {
    await run(`import os\n${write(7)}os.utime("fresh.py", (1e9, 1e9))`);
    const { files } = await run('import fresh, py_compile\npy_compile.compile("fresh.py", "direct.pyc")');
    expect(files).toEqual([]);
    expect(
      (await run('import os\nany(name.startswith("fresh.") for name in os.listdir("__pycache__"))')).results,
    ).toMatchObject([{ text: 'True' }]);
  });
});

describe('a last expression has its value in a script of any allowed size', () => {
  const data = `x = "${'a'.repeat(300_000)}"\n`;

  test.each([
    ['after a long string', `${data}len(x)`, '300000'],
    ['after a semicolon of the same line', `${data.trim()}; y = 1; len(x)`, '300000'],
    ['over several lines, with comments after it', `${data}(len(x) +\n 1)\n# end\n`, '300001'],
    ['after long lists, of 2 MiB', `x = [\n${'"aaaaaaaaaaaaaaaaaaaa",\n'.repeat(90_000)}]\nlen(x)`, '90000'],
    ['that is itself long', `[\n${'1,\n'.repeat(100_000)}].count(1)`, '100000'],
    ['after strings and comments that look like code', `${data}y = '''\n(\n''' # it's "\nf"{y!r}"[1:2]`, "'\\\\'"],
  ])('%s', async (_what, code, value) => {
    expect(lastOf(await run(code))).toBe(value);
  });

  test('and none where there is none, with errors on the lines where they are', async () => {
    expect((await run(`${data}len(x);`)).results).toBeUndefined();
    expect((await run(`if 0: ${data.trim()}; len(unknown)`)).results).toBeUndefined();
    expect((await run(`${data}\nlen(`)).stderr).toContain(
      "line 3\n    len(\n       ^\nSyntaxError: '(' was never closed",
    );
    expect((await run(`${data}\n1 / 0`)).stderr).toContain('main.py", line 3, in <module>');
  });
});

describe('nothing of the runner is to be seen', () => {
  test('in sys.argv of a context, where parse_args() and unittest.main() work', async () => {
    expect((await cell('import sys; print(sys.argv, len(sys.orig_argv))')).stdout).toBe("[''] 1\n");
    const parsed =
      'import argparse\np = argparse.ArgumentParser()\np.add_argument("--n", type=int, default=3)\nprint(p.parse_args())';
    expect((await cell(parsed)).stdout).toBe('Namespace(n=3)\n');
    const tested = await cell(
      'import unittest\nclass T(unittest.TestCase):\n    def test_it(self): self.assertEqual(1, 1)\nunittest.main()',
    );
    expect(tested.stderr).toContain('Ran 1 test');
    expect(tested.exit_code).toBe(0);
  });

  test.each(BOTH)('in warnings, stacks and flags of %s', async (_where, execute) => {
    const { stdout, stderr } = await execute(
      'import sys, traceback, warnings, inspect, logging\nwarnings.warn("two up", stacklevel=2)\ntraceback.print_stack()\n' +
        'logging.warning("w", stack_info=True)\nprint([frame.filename for frame in inspect.stack()], sys.flags.isolated)\n' +
        'print(sys.argv, sys.orig_argv, sys.path, sorted(sys.modules["__main__"].__dict__))',
    );
    expect(stderr).toContain('UserWarning: two up');
    expect(stdout + stderr).not.toMatch(/\/opt\/glovebox|glovebox-runner|sys\.path\[0\]/);
    expect(stdout).toContain('] 0\n');
  });

  test('in the traceback of what display() raises, and of a crash', async () => {
    const shown = await run(
      'class Bad:\n    def __repr__(self): raise OSError("no text")\ndisplay(Bad())\nprint(repr(Bad()))',
    );
    expect(shown.stderr).toContain('OSError: no text');
    expect(shown.stderr + (shown.error?.traceback ?? '')).not.toContain('/opt/glovebox');
    const crash = await run('import os\nos.kill(os.getpid(), 11)');
    expect(crash.stderr).toContain('Segmentation fault');
    expect(crash.stderr).not.toContain('/opt/glovebox');
  });
});

describe('env is in force as for python script.py', () => {
  const PRINTS: readonly (readonly [Record<string, string>, string, string])[] = [
    [{ TZ: 'Asia/Tokyo' }, 'import time; time.tzname', "('JST', 'JST')"],
    [{ PYTHONHASHSEED: '0' }, 'hash("a")', '4644417185603328019'],
    [{ PYTHONOPTIMIZE: '1' }, 'assert 0\n__debug__', 'False'],
    [{ PYTHONIOENCODING: 'latin-1' }, 'import sys; sys.stdout.encoding', "'iso8859-1'"],
    [{ PYTHONUTF8: '1', LC_ALL: 'POSIX' }, 'import sys; sys.flags.utf8_mode', '1'],
    [{ PYTHONDEVMODE: '1' }, 'import sys; sys.flags.dev_mode', 'True'],
    [{ PYTHONBREAKPOINT: '0' }, 'breakpoint()\n1', '1'],
    [{ PYTHONTRACEMALLOC: '3' }, 'import tracemalloc; tracemalloc.get_traceback_limit()', '3'],
    [{ PYTHONINTMAXSTRDIGITS: '5000' }, 'import sys; sys.get_int_max_str_digits()', '5000'],
    [{ PYTHONDONTWRITEBYTECODE: '1' }, 'import sys; sys.dont_write_bytecode', 'True'],
    [{ PYTHONASYNCIODEBUG: '1' }, 'import asyncio; asyncio.new_event_loop().get_debug()', 'True'],
    [
      { PYTHONPATH: '/workspace/lib:lib2' },
      'import json, away; (away.V, sys.path[1:3]) if (sys := __import__("sys")) else 0',
      "(1, ['/workspace/lib', '/workspace/lib2'])",
    ],
    [{ OMP_NUM_THREADS: '3', ANYTHING: 'x' }, 'import os; os.environ["OMP_NUM_THREADS"]', "'3'"],
    [{ PYTHONFOO: 'x'.repeat(65_536) }, 'import os; len(os.environ["PYTHONFOO"])', '65536'],
  ];

  beforeAll(async () => {
    await run(
      'import os\nos.makedirs("lib")\nopen("lib/away.py", "w").write("V = 1")\nopen("lib/json.py", "w").write("1 / 0")',
    );
  });

  test.each(PRINTS.map(([env, ...rest]) => [Object.keys(env).join(), env, ...rest] as const))(
    'in a script: %s',
    async (_names, env, code, value) => {
      const execution = await run(code, { env });
      expect(lastOf(execution), execution.stderr).toBe(value);
    },
  );

  test('in a script that reads, fails, shows, ends by a code of its own, in time or not, as ever', async () => {
    const env = { PYTHONHASHSEED: '1' };
    expect(await run('print(input())\ndisplay(2)\nimport sys\nsys.exit(7)', { env, stdin: 'a\nb' })).toMatchObject({
      status: 'error',
      exit_code: 7,
      stdout: 'a\n',
      results: [{ text: '2' }],
    });
    const failed = await run('def f(): 1 / 0\nf()', { env });
    expect(failed.error).toMatchObject({ name: 'ZeroDivisionError' });
    expect(failed.stderr).toMatch(/^Traceback.*\n {2}File "\/tmp\/execution-\d+\/main.py", line 2, in <module>/);
    const late = await run('import time\ndef wait(): time.sleep(60)\nwait()', { env, timeout_s: 2 });
    expect(late).toMatchObject({
      status: 'timeout',
      termination: { by: 'interrupt', stacks: [{ thread: 'MainThread' }] },
    });
    expect(late.termination?.stacks?.[0]?.frames.at(-1)).toContain('in wait');
    expect((await run('1', { env: { PYTHONHASHSEED: 'x' } })).stderr).toContain('PYTHONHASHSEED must be');
  });

  test('in the background and over MCP', async () => {
    const begun = await run('print(hash("a"))', { env: { PYTHONHASHSEED: '0' }, background: true });
    const ended = await fetch(`${server.url}/executions/${begun.execution_id}?wait_s=20`);
    expect(await ended.json()).toMatchObject({ status: 'ok', stdout: '4644417185603328019\n' });
    await using client = await connectByMcp(server);
    const { stdout } = await runPythonBy(client, 'import time; print(time.tzname[0])', { env: { TZ: 'Asia/Tokyo' } });
    expect(stdout).toBe('JST\n');
  });

  test('in a context for the time of a call, or the variable is refused with the reason', async () => {
    const env = { TZ: 'Asia/Tokyo', PYTHONPATH: 'lib', PYTHONWARNINGS: 'error', LANG: 'C.UTF-8' };
    const set = 'import sys, time, warnings; (time.tzname[0], "/workspace/lib" in sys.path, warnings.filters[0][0])';
    expect(lastOf(await cell(set, { env }))).toBe("('JST', True, 'error')");
    expect(lastOf(await cell(set))).toBe("('UTC', False, 'default')");
    for (const name of ['PYTHONHASHSEED', 'PYTHONOPTIMIZE', 'LD_PRELOAD'])
      expect(await refusal('1', { env: { [name]: '1' }, context: 'main' })).toContain(
        `"env.${name}": it is read only when`,
      );
    expect(await refusal('1', { env: { LC_ALL: 'de_DE' }, context: 'main' })).toContain('"env.LC_ALL"');
    expect(await refusal('1', { env: { PYTHONINSPECT: '1' } })).toContain('"env.PYTHONINSPECT"');
  });
});

describe('code is text', () => {
  test.each(BOTH)(
    'a coding cookie changes nothing in %s, and a byte order mark is dropped',
    async (_where, execute) => {
      for (const cookie of ['# -*- coding: latin-1 -*-', '#!/usr/bin/python\n# vim: set fileencoding=cp1252 :']) {
        const { stdout, stderr } = await execute(
          `\uFEFF${cookie}\nname = 'José'\nprint(name, len(name))\nraise ValueError('José')`,
        );
        expect(stdout).toBe('José 4\n');
        expect(stderr).toContain("raise ValueError('José')");
      }
    },
  );

  test.each(BOTH)('a Markdown fence around all of the code is taken off in %s', async (_where, execute) => {
    const failed = await execute('```python\nprint(sum(range(5)))\n1 / 0\n```\n');
    expect(failed).toMatchObject({ stdout: '10\n', error: { name: 'ZeroDivisionError' } });
    expect(failed.stderr).toContain('line 3');
    expect(lastOf(await execute('\n~~~py\n"""\n```\n"""\n~~~'))).toBe("'\\n```\\n'");
  });

  test.each([
    '!ls',
    'x = !ls',
    '%time 1',
    'len?',
    'await x',
    'if 1:\n    !ls',
    '%%bash\nls',
    'x = """\n%d"""\n%pip list',
  ])('the notebook hint comes for %j', async (code) => expect(hintOf(await run(code))).toContain('notebook syntax'));

  test.each([
    'x = 5\n% 3',
    'x = 1\n!= 2',
    'x = """\n!ls\n"""\nprint "old"',
    'def f():\n    await x\n!',
    'compile("!ls", "", "exec")',
  ])('the notebook hint does not come for %j', async (code) => {
    const execution = await run(code);
    expect(execution.error?.name).toMatch(/Error$/);
    expect(hintOf(execution)).toBeUndefined();
  });

  test.each(BOTH)('literal \\n instead of line ends gets a hint in %s', async (_where, execute) => {
    for (const code of [
      'import os\\nprint(1)',
      'for i in range(2):\\n    print(\\"i\\", i)',
      'def f():\\n\\treturn 1\\nf()',
    ])
      expect(hintOf(await execute(code))).toContain('real line ends');
    expect(hintOf(await execute('x = 1 \\ 2'))).toBeUndefined();
  });

  test.each(BOTH)('input() without stdin says what to pass in %s', async (_where, execute) => {
    expect(hintOf(await execute('name = input("Name? ")'))).toContain('pass what the code is to read in "stdin"');
    expect(hintOf(await execute('input(), input()', { stdin: 'one' }))).toContain('fewer lines');
    expect(hintOf(await execute('raise EOFError("mine")'))).toBeUndefined();
  });

  test.each([
    ['print((1, 2', "'(' was never closed"],
    ['x = """abc', 'unterminated triple-quoted string literal'],
    ['for i in range(3):', "expected an indented block after 'for' statement"],
  ])('unclosed code in a context is told as in a script: %j', async (code, message) => {
    for (const execute of [run, cell]) {
      const { error } = await execute(code);
      expect(error?.name).toMatch(/^(Syntax|Indentation)Error$/);
      expect(error?.value).toContain(message);
    }
  });
});

describe('in a context', () => {
  test('tasks made in one cell can be awaited in the next', async () => {
    await cell('import asyncio\nasync def later(x):\n    await asyncio.sleep(0.01)\n    return x');
    await cell('one = asyncio.create_task(later(1))\nboth = asyncio.gather(later(2), asyncio.ensure_future(later(3)))');
    expect(lastOf(await cell('await one, await both'))).toBe('(1, [2, 3])');
    expect(lastOf(await cell('asyncio.run(later(4))'))).toBe('4');
    expect(lastOf(await cell('asyncio.get_event_loop().run_until_complete(later(5))'))).toBe('5');
    await cell('two = asyncio.create_task(later(6), name="six")\nawait asyncio.sleep(0)');
    expect(lastOf(await cell('await two, two.get_name()'))).toBe("(6, 'six')");
  });

  test('a spawn pool works with what cells define, and fails at once with a reason for the rest', async () => {
    await cell(
      'import multiprocessing, math\nfrom collections import namedtuple\nfrom concurrent.futures import ProcessPoolExecutor\n' +
        'spawn = multiprocessing.get_context("spawn")\nOFFSET = 10\nP = namedtuple("P", "x")\n' +
        'def f(p): return P(math.floor(p.x) + OFFSET)\ndata = list(range(3))\ndef g(i): return data[i]\nh = [lambda x: x, f][1]\nk = type("K", (), {})',
    );
    const pool = (call: string) => `with spawn.Pool(1) as pool: print(pool.map(${call}))`;
    expect((await cell(pool('f, [P(1.5), P(2)]'))).stdout).toBe('[P(x=11), P(x=12)]\n');
    expect(
      (await cell('with ProcessPoolExecutor(1, mp_context=spawn) as pool: print(list(pool.map(f, [P(3)])))')).stdout,
    ).toBe('[P(x=13)]\n');
    expect((await cell(pool('g, [1]'))).error).toMatchObject({
      name: 'NameError',
      value: "name 'data' is not defined",
    });
    const unknown = await cell(
      'def make():\n    global made\n    def made(x): return x\n    made.__qualname__ = "made"\nmake()',
    );
    expect(unknown.status).toBe('ok');
    expect((await cell(pool('made, [1]'))).error).toMatchObject({
      name: 'NameError',
      value: expect.stringContaining('made is not known in a process that was spawned'),
    });
  });
});
