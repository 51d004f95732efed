import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RealToolServers, realToolServers } from '../support/real-tool-servers.ts';
import { openSession, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

const folder = mkdtempSync(join(tmpdir(), 'gbx-tools-'));
let servers: RealToolServers;
let server: Server;
let session_id: string;

beforeAll(async () => {
  servers = await realToolServers(folder);
  const env = {
    GLOVEBOX_IMAGE: 'data',
    GLOVEBOX_MEMORY_MB: '768',
    GLOVEBOX_TOOLS: servers.file,
    GLOVEBOX_TOOLS_STDIO: '1',
  };
  server = await startServer({ env });
  session_id = await openSession(server);
}, 300_000);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Servers of Python and the first import of a library take a while on a busy machine. */
const PATIENCE = { timeout_s: 100 };
const TIMEOUT = 120_000;

async function run(code: string, args: Record<string, unknown> = {}) {
  const result = await runPython(server, code, { session_id, ...PATIENCE, ...args });
  expect({ status: result.status, stderr: result.stderr }).toEqual({ status: 'ok', stderr: '' });
  return result;
}

/** What code prints as JSON. */
async function printed(code: string): Promise<unknown> {
  const { stdout } = await run(`import json, tools\n${code}\nprint(json.dumps(value, default=str))`);
  return JSON.parse(stdout);
}

test('one program reads from two servers, joins that, and plots it', { timeout: TIMEOUT }, async () => {
  writeFileSync(join(servers.data, 'customers.csv'), 'customer,city\n1,Riga\n2,Oslo\n3,Riga\n');
  await run(`
import tools
tools.sqlite.create_table(query="CREATE TABLE orders (customer INTEGER, amount REAL)")
tools.sqlite.write_query(query="INSERT INTO orders VALUES (1, 10), (2, 20), (3, 5.5), (1, 4)")
`);
  const { stdout, results, tool_calls } = await run(`
import ast, io, tools
import pandas as pd
import matplotlib.pyplot as plt

text = tools.files.read_text_file(path="${servers.data}/customers.csv")["content"]
rows = tools.sqlite.read_query(query="SELECT customer, amount FROM orders")
joined = pd.DataFrame(ast.literal_eval(rows)).merge(pd.read_csv(io.StringIO(text)), on="customer")
by_city = joined.groupby("city")["amount"].sum()
by_city.plot.bar()
print(by_city.to_dict())
plt.show()
`);
  expect(stdout).toBe("{'Oslo': 20.0, 'Riga': 19.5}\n");
  expect(results).toMatchObject([{ png: expect.any(String) }]);
  expect(tool_calls).toMatchObject([
    { tool: 'files.read_text_file', status: 'ok' },
    { tool: 'sqlite.read_query', status: 'ok' },
  ]);
});

test('values, lists, texts and files of five servers come as such', { timeout: TIMEOUT }, async () => {
  const graph = { name: 'Riga', entityType: 'city', observations: ['is a capital'] };
  expect(
    await printed(`
tools.memory.create_entities(entities=[${JSON.stringify(graph)}])
graph = tools.memory.read_graph()
image = next(each for each in tools.everything.get_tiny_image() if not isinstance(each, str))
link = next(each for each in tools.everything.get_resource_links(count=1) if hasattr(each, "read"))
value = {
    "graph": graph,
    "weather": sorted(tools.everything.get_structured_content(location="Chicago")),
    "sum": tools.everything.get_sum(a=1, b=2),
    "image": [str(image), image.read_bytes()[:4].hex()],
    "link": [link.uri, type(link.read()).__name__],
    "log": "Add the second file" in str(tools.git.git_log(repo_path=${JSON.stringify(servers.repository)}, max_count=2)),
    "listing": "customers.csv" in str(tools.files.list_directory(path=${JSON.stringify(servers.data)})),
}`),
  ).toEqual({
    graph: { entities: [graph], relations: [] },
    weather: ['conditions', 'humidity', 'temperature'],
    sum: 'The sum of 1 and 2 is 3.',
    image: ['/workspace/tool-files/everything-get_tiny_image.png', '89504e47'],
    link: [expect.stringMatching(/^demo:/), expect.any(String)],
    log: true,
    listing: true,
  });
});

test('errors of servers and faults of arguments are told apart', { timeout: TIMEOUT }, async () => {
  expect(
    await printed(`
value = []
for call in (
    lambda: tools.files.read_text_file(path="/etc/passwd"),
    lambda: tools.files.read_text_file(paht="x"),
    lambda: tools.everything.get_sum(a="1", b=2),
    lambda: tools.sqlite.read_query(query="SELECT * FROM nowhere"),
):
    try:
        value.append(call())
    except tools.ToolError as error:
        value.append([error.code, error.message, error.hint])
`),
  ).toEqual([
    ['upstream', expect.stringContaining('Access denied'), expect.any(String)],
    ['bad_arguments', expect.stringContaining("no argument 'paht'"), expect.stringContaining("'path'")],
    ['bad_arguments', expect.stringContaining('a must be a number, not "1"'), expect.any(String)],
    // This one says so in an ordinary text.
    expect.stringContaining('no such table'),
  ]);
});

test('values of NumPy and pandas are sent, or refused with what to write', { timeout: TIMEOUT }, async () => {
  expect(
    await printed(`
import numpy as np
import pandas as pd
value = [tools.everything.get_sum(a=np.int64(1), b=np.float32(0.5))]
frame = pd.DataFrame({"a": [1]})
for given in (frame, frame["a"], frame.to_numpy(), pd.Timestamp("2026-01-01"), pd.NaT, pd.NA, np.nan):
    try:
        tools.everything.echo(message=given)
    except tools.ToolError as error:
        value.append(error.hint)
`),
  ).toEqual([
    'The sum of 1 and 0.5 is 1.5.',
    'Use message.to_dict("records").',
    ...['Use message.tolist().', 'Use message.tolist().', 'Use message.isoformat().'],
    ...['Use None.', 'Use None.', 'Use None, or leave it out.'],
  ]);
});

test('calls run at the same time, from threads and from asyncio, also in a context', { timeout: TIMEOUT }, async () => {
  const { stdout } = await run(
    `
import asyncio, tools
echoes = tools.map(lambda n: tools.everything.echo(message=str(n)), range(20))
more = await asyncio.gather(*(tools.aio.everything.echo(message=str(n)) for n in range(20)))
print(echoes == more == [f"Echo: {n}" for n in range(20)], len(tools.search("sqlite table")) > 1)
`,
    { context: 'c' },
  );
  expect(stdout).toBe('True True\n');
});

test('code that was given no tools has none, and a signature tells what one takes', { timeout: TIMEOUT }, async () => {
  const none = await runPython(server, 'import tools\ntools.files', { session_id, tools: [] });
  expect(none).toMatchObject({
    status: 'error',
    error: { name: 'ToolError', value: expect.stringContaining('denied') },
  });
  const { stdout } = await run('import inspect, tools\nprint(inspect.signature(tools.sqlite.read_query))', {
    tools: ['sqlite'],
  });
  expect(stdout).toMatch(/^\(\*, query: str\)/);
});
