import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CallAnswer, LEGACY_HTTP, MODERN_HTTP, textOf } from '../support/mcp-clients.ts';
import { openSession, runPython, streamPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

interface Result {
  text?: string;
  html?: string;
  markdown?: string;
  png?: string;
  jpeg?: string;
  json?: { data?: unknown };
  truncated?: string[];
  original?: { path: string; size: number };
}

const LIMIT = 200_000;
let server: Server;
let session_id: string;
beforeAll(async () => {
  const env = { GLOVEBOX_IMAGE: 'data', GLOVEBOX_RESULT_LIMIT: String(LIMIT), GLOVEBOX_MEMORY_MB: '768' };
  server = await startServer({ env });
  session_id = await openSession(server);
}, 240_000);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** The first call of a library in a container loads it from the disk: on a busy machine that takes a while. */
const PATIENCE = { timeout_s: 40 };
const PLOT = 'import matplotlib.pyplot as plt\nplt.plot([1, 2, 3], [4, 1, 9])\n';

const KINDS: [string, Record<string, unknown>][] = [
  ['a fresh execution', {}],
  ['a context', { context: 'main' }],
];

/** Width and height of a PNG. @throws when it is none */
function sizeOf(png: string | Buffer = ''): [number, number] {
  const bytes = Buffer.from(png as string, 'base64');
  expect(bytes.subarray(0, 8).toString('latin1')).toBe('\x89PNG\r\n\x1A\n');
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
}

describe.each(KINDS)('in %s', (_kind, args) => {
  const run = (code: string, more: Record<string, unknown> = {}) =>
    runPython(server, code, { session_id, ...PATIENCE, ...args, ...more });
  const show = async (code: string, more?: Record<string, unknown>) => {
    const { status, results = [], stderr } = await run(code, more);
    expect({ status, stderr }).toMatchObject({ status: 'ok', stderr: '' });
    return results as Result[];
  };

  test('labels of any script are drawn, and a glyph of no font is told once, with the line of the code', async () => {
    const labels = "plt.rcParams['font.sans-serif'] = ['SimHei']\nplt.title('销售额 매출 ยอดขาย')\n";
    expect(await show(`${PLOT}${labels}plt.show()`)).toMatchObject([{ png: expect.any(String) }]);
    const { results, stderr = '' } = await run(`${PLOT}plt.title('\u{13000}\u{13000}')\nplt.xlabel('x')\nNone`);
    expect(results).toMatchObject([{ png: expect.any(String) }]);
    expect(stderr.match(/Glyph 77824/g)).toHaveLength(1);
    expect(stderr).toMatch(/^(\S+main\.py|<cell .*>):3: UserWarning/);
  });

  test('a DataFrame as the last expression is text, HTML and JSON', async () => {
    const [table, ...more] = await show('import pandas as pd\npd.DataFrame({"city": ["Rom", "Ulm"], "n": [1, 2]})');
    expect(more).toEqual([]);
    expect(table?.text).toMatch(/city\s+n\n0\s+Rom\s+1/);
    expect(table?.html).toContain('<td>Rom</td>');
    expect(JSON.stringify(table?.json)).toContain('"Rom"');
  });

  test('a plot is a PNG with no code for it, and so is one that plt.show shows, in order', async () => {
    const results = await show(`${PLOT}None`);
    expect(results).toHaveLength(1);
    const [width, height] = sizeOf(results[0]?.png);
    expect([width, height].every((side) => side > 200 && side < 2000)).toBe(true);
    const shown = await show(`${PLOT}plt.show()\ndisplay("between")\nplt.figure()\nplt.plot([1])\nNone`);
    expect(shown.map(({ png, text }) => (png ? 'png' : text))).toEqual(['png', "'between'", 'png']);
  });

  test('a figure that was shown can still be saved, is one result, and one with nothing in it is none', async () => {
    const look = 'from PIL import Image\nprint(min(Image.open("chart.png").convert("L").tobytes()) < 100)\n';
    const code = `${PLOT}plt.show()\nplt.savefig("chart.png")\n${look}plt.figure()`;
    const { status, stdout, stderr, results = [] } = await run(code);
    expect({ status, stdout, stderr }).toEqual({ status: 'ok', stdout: 'True\n', stderr: '' });
    expect(results.map((result) => Object.keys(result).sort())).toEqual([['png', 'text']]);
    expect((await run('import matplotlib.pyplot as plt')).results).toBeUndefined();
  });

  test('a printed table, and the text of one, has every column up to 20', async () => {
    const code = [
      'import pandas as pd',
      'table = pd.DataFrame([range(20)], columns=[f"a_long_name_{n}" for n in range(20)])',
      'print(table.head())',
      'table',
    ].join('\n');
    const { stdout, results = [] } = await run(code);
    for (const text of [stdout, String(results[0]?.['text'])]) expect(text.match(/a_long_name_\d+/g)).toHaveLength(20);
  });

  test('integers beyond 2^53 keep every digit in json', async () => {
    const code = 'import pandas as pd\npd.DataFrame({"id": [1234567890123456789, 5], "n": [2**53 - 1, -(2**53)]})';
    const [table] = await show(code);
    expect(table?.json).toMatchObject({
      data: [
        ['1234567890123456789', 9007199254740991],
        [5, '-9007199254740992'],
      ],
    });
    const [shown] = await show('display({"application/json": {"a": [10**30, float("nan")]}}, raw=True)');
    expect(shown?.json).toEqual({ a: [`1${'0'.repeat(30)}`, null] });
  });

  test('bars that libraries draw for notebooks are text, in their last state', async () => {
    const code = [
      'from tqdm.notebook import tqdm',
      'from tqdm.auto import trange',
      'for _ in tqdm(range(3)): pass',
      'for _ in trange(40, mininterval=0): pass',
    ].join('\n');
    const { status, stderr, results } = await run(code);
    expect({ status, results }).toEqual({ status: 'ok', results: undefined });
    expect(stderr).toMatch(/^100%\|█+\| 3\/3 \[.*\]\n100%\|█+\| 40\/40 \[.*\] *\n$/);
  });

  test('a picture of PIL, HTML, and an object that knows its HTML are what they are', async () => {
    const code = [
      'from PIL import Image',
      'from IPython.display import HTML, Markdown, display as show',
      'class Own:',
      '    def _repr_html_(self): return "<b>own</b>"',
      'display(Image.new("RGB", (30, 20), "red"))',
      'show(HTML("<i>html</i>"), Markdown("*md*"))',
      'Own()',
    ].join('\n');
    const [picture, html, markdown, own] = await show(code);
    expect(sizeOf(picture?.png)).toEqual([30, 20]);
    expect([html?.html, markdown?.markdown, own?.html]).toEqual(['<i>html</i>', '*md*', '<b>own</b>']);
  });

  test('display shows, however it is imported, also where IPython is found loaded; an update shows the last state', async () => {
    const session = { session_id: await openSession(server) };
    await expect
      .poll(async () => (await run('import sys\nprint("IPython" in sys.modules)\nimport IPython', session)).stdout)
      .toBe('True\n');
    for (const path of ['IPython.display', 'IPython.core.display_functions']) {
      const code = `from ${path} import display\nhandle = display(1, display_id=True)\nhandle.update(2)\nhandle.update(3)`;
      expect(await run(code, session)).toMatchObject({
        status: 'ok',
        stdout: '',
        results: [{ text: '1' }, { text: '3' }],
      });
    }
  });

  test('a GIF is a picture of its first frame, and is kept; what cannot be shown is named', async () => {
    const code = [
      'import io',
      'from PIL import Image',
      'from IPython.display import Image as Shown',
      'frames = [Image.new("RGB", (40, 30), (shade, 0, 0)) for shade in range(0, 250, 50)]',
      'frames[0].save("moving.gif", save_all=True, append_images=frames[1:])',
      'display({"video/mp4": b"film"}, raw=True)',
      'Shown(filename="moving.gif")',
    ].join('\n');
    const [film, gif] = await show(code);
    expect(film).toMatchObject({ omitted: ['video/mp4'], text: expect.stringContaining('video/mp4') });
    expect(sizeOf(gif?.png)).toEqual([40, 30]);
    const kept = await fetch(`${server.url}/sessions/${session_id}/files/${gif?.original?.path}`);
    expect(Buffer.from(await kept.arrayBuffer()).toString('latin1', 0, 4)).toBe('GIF8');
  });

  test('html over the limit is a file that the result names', async () => {
    const code =
      'from IPython.display import HTML\nHTML("<table><tr><td>a</td><td>b</td></tr></table>" + "<p>" * 100_000)';
    const [page] = await show(code);
    expect(page).toMatchObject({ text: 'a  b', truncated: ['html'] });
    const kept = await fetch(`${server.url}/sessions/${session_id}/files/${page?.original?.path}`);
    expect([kept.status, (await kept.text()).length, page?.original?.size]).toEqual([200, 300_044, 300_044]);
  });

  test('a __repr__ that raises does not hide what was printed, and its error is told', async () => {
    const { stdout, results, error } = await run(
      'class Bad:\n    def __repr__(self): raise ValueError("no repr")\nprint("before")\nBad()',
    );
    expect(stdout).toBe('before\n');
    expect(JSON.stringify([results, error])).toMatch(/ValueError.*no repr/);
  });

  test('a __repr__ without end is ended by the time limit, with what was displayed before', async () => {
    const code = 'class Slow:\n    def __repr__(self):\n        while True: pass\ndisplay(1)\nSlow()';
    const late = await run(code, { timeout_s: 2 });
    expect(late).toMatchObject({ status: 'timeout', results: [{ text: '1' }] });
    expect(late.termination?.by).toBe('interrupt');
    expect((await run('1 + 1')).results).toEqual([{ text: '2' }]);
  });

  test('a __repr__ of 100 MB is cut to the budget, and says so', async () => {
    const [long] = await show('class Long:\n    def __repr__(self): return "x" * 100_000_000\nLong()');
    expect(long?.truncated).toEqual(['text']);
    expect(long?.text).toMatch(/characters left out/);
    expect(long?.text?.length).toBeLessThanOrEqual(LIMIT);
  });

  test('a thousand displays are shown up to the limit, and the rest is counted', async () => {
    const results = await show('for n in range(1000): display(n)');
    expect(results.slice(0, 2).map(({ text }) => text)).toEqual(['0', '1']);
    expect(results).toHaveLength(101);
    expect(results.at(-1)?.text).toMatch(/900 more results left out/);
  });

  test('results of one execution keep to the budget of all', async () => {
    const results = await show('for n in range(20): display("x" * 150_000)');
    expect(JSON.stringify(results).length).toBeLessThan(4.1 * LIMIT);
    expect(results.at(-1)?.text).toMatch(/more results left out/);
  });

  test('a picture beyond the budget is made smaller, and kept whole as a file', async () => {
    const code = 'import os\nfrom PIL import Image\nImage.frombytes("RGB", (700, 500), os.urandom(700 * 500 * 3))';
    const [picture] = await show(code);
    const shown = picture?.jpeg ?? picture?.png ?? '';
    expect(shown.length).toBeGreaterThan(10_000);
    expect(shown.length).toBeLessThan(LIMIT);
    const { path = '', size } = picture?.original ?? {};
    const response = await fetch(`${server.url}/sessions/${session_id}/files/${path}`);
    const original = Buffer.from(await response.arrayBuffer());
    expect([response.status, original.length]).toEqual([200, size]);
    const look = `from PIL import Image\nprint(Image.open("/workspace/${path}").size)`;
    expect((await run(look)).stdout).toBe('(700, 500)\n');
  });

  test('a figure of 100 000 by 100 000 pixels is drawn smaller, not with all memory', async () => {
    const started = performance.now();
    const [giant] = await show(
      'import matplotlib.pyplot as plt\nplt.figure(figsize=(1000, 1000), dpi=100)\nplt.plot([1, 2])\nNone',
    );
    expect(Math.max(...sizeOf(giant?.png))).toBeLessThan(10_000);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test('displays come over SSE in order, while the code runs', async () => {
    const code = 'print("a")\ndisplay(1)\nprint("b")\ndisplay(2)\n3';
    const told: unknown[] = [];
    for await (const { event, data } of streamPython(server, { code, session_id, ...args }))
      if (event === 'display') told.push((data as { result: Result }).result.text);
    expect(told).toEqual(['1', '2', '3']);
  });
});

test.each([...LEGACY_HTTP.slice(0, 2), ...MODERN_HTTP.slice(0, 1)])(
  'a client (%s) gets a plot as image content, and no base64 in the structure',
  async (_name, connect) => {
    await using client = await connect(server);
    const answer = await client.call('execute_python', {
      code: `${PLOT}plt.title("T")\nNone`,
      session_id,
      ...PATIENCE,
    });
    const images = answer.content.filter(({ type }) => type === 'image') as (CallAnswer['content'][number] & {
      data: string;
      mimeType: string;
    })[];
    expect(images.map(({ mimeType }) => mimeType)).toEqual(['image/png']);
    expect(sizeOf(images[0]?.data)[0]).toBeGreaterThan(200);
    expect(answer.structuredContent).toMatchObject({ results: [{ attached: ['png'] }] });
    expect(JSON.stringify(answer.structuredContent)).not.toContain('iVBORw0KGgo');
    expect(textOf({ ...answer, content: answer.content.filter(({ type }) => type === 'text') })).toMatch(
      /\[result\] \[image png, \d+ kB\]/,
    );
  },
);
