/**
 * Counts the tokens that ten tasks take of a model's context: with tools that the model calls itself, and with tools that
 * its code calls. Both are carried out, with real servers; what a model would write is written here. Prints a table.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { nodeEnvironment } from '../../test/clients/environments.ts';
import { realToolServers } from '../../test/support/real-tool-servers.ts';
import { startServer } from '../server.ts';
import { type DirectCall, TASKS, type Task } from './tasks.ts';

type Count = (text: string) => number;

/** Tokens of one way, and its turns: each reads again all that is there so far. */
interface Way {
  readonly tokens: number;
  readonly turns: number;
}

const folder = mkdtempSync(join(tmpdir(), 'glovebox-tokens-'));
try {
  await using stack = new AsyncDisposableStack();
  const count = await openTokenizer();
  const { file, data, repository } = await realToolServers(folder);
  writeData(data);
  await addCommits(repository);
  const direct = await openDirect(file, stack);
  await fillDatabase(direct);
  const flags = ['--state-dir', join(folder, 'state'), '--image', 'data', '--tools', file, '--tools-stdio', '1'];
  const server = stack.use(await startServer(flags, new AbortController().signal));
  const glovebox = stack.adopt(await connectTo(server.url), (client) => client.close());
  const definitions = {
    direct: await definitionsOf([...direct.values()], count),
    code: await definitionsOf([glovebox], count),
  };
  const rows: string[] = [];
  for (const task of TASKS) {
    const own = await takeDirectly(task, direct, data, count);
    const code = await takeByCode(task, glovebox, data, count);
    rows.push(
      `| ${task.name} | ${own.tokens} | ${own.turns} | ${code.tokens} | ${code.turns} | ${toRatio(code, own)} |`,
    );
  }
  const heading = '| task | itself | turns | by code | turns | by code / itself |\n|---|--:|--:|--:|--:|--:|';
  const fixed = `| definitions of the tools, in each conversation | ${definitions.direct} | | ${definitions.code} | | |`;
  process.stdout.write(`${[heading, ...rows, fixed].join('\n')}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit();

function toRatio(one: Way, other: Way): string {
  return (one.tokens / other.tokens).toFixed(2);
}

async function openTokenizer(): Promise<Count> {
  const modules = await nodeEnvironment('packages-tool-servers.json');
  const path = pathToFileURL(join(modules, 'node_modules/gpt-tokenizer/esm/encoding/o200k_base.js'));
  const { encode } = (await import(path.href)) as { encode(text: string): number[] };
  return (text) => encode(text).length;
}

/** Customers, orders and notes: always the same. */
function writeData(data: string): void {
  const cities = ['Riga', 'Oslo', 'Ghent', 'Porto', 'Graz'];
  const customers = Array.from({ length: 60 }, (_, at) => `${at + 1},${cities[(at * 7) % cities.length]}`);
  writeFileSync(join(data, 'customers.csv'), `customer,city\n${customers.join('\n')}\n`);
  writeFileSync(join(data, 'orders.csv'), `id,customer,amount\n${orders().join('\n')}\n`);
  const sentences = readFileSync(new URL('../../LICENSE', import.meta.url), 'utf8').split(/(?<=\.)\s+/);
  for (let at = 0; at < 20; at += 1) {
    writeFileSync(join(data, `note-${at}.md`), `${sentences.slice(at, at + 6).join(' ')}\n`);
  }
}

function orders(): string[] {
  const amount = (at: number) => ((at * 7919) % 10_000) / 100;
  return Array.from({ length: 500 }, (_, at) => `${at + 1},${((at * 37) % 60) + 1},${amount(at).toFixed(2)}`);
}

/** 200 commits of three authors. */
async function addCommits(repository: string): Promise<void> {
  const authors = ['Ada', 'Grace', 'Edsger'];
  const commits = Array.from({ length: 200 }, (_, at) => {
    const who = `${authors[((at * 7) % 10) % 3]} <a@example.org> ${1_750_000_000 + at * 3600} +0000`;
    const message = `Change part ${at % 13} of the shop`;
    return `commit refs/heads/many\nauthor ${who}\ncommitter ${who}\ndata ${message.length}\n${message}\n`;
  });
  const git = spawn('git', ['-C', repository, 'fast-import', '--quiet'], { stdio: ['pipe', 'ignore', 'inherit'] });
  git.stdin.end(commits.join(''));
  await once(git, 'exit');
  await once(spawn('git', ['-C', repository, 'checkout', '--quiet', 'many']), 'exit');
}

async function fillDatabase(servers: ReadonlyMap<string, Client>): Promise<void> {
  const ask = async (tool: string, query: string) =>
    await callText(servers, { server: 'sqlite', tool, arguments: { query } });
  await ask('create_table', 'CREATE TABLE orders (id INTEGER, customer INTEGER, amount REAL)');
  await ask(
    'write_query',
    `INSERT INTO orders VALUES ${orders()
      .map((row) => `(${row})`)
      .join(', ')}`,
  );
}

/** Clients of the servers of the file, by name. */
async function openDirect(file: string, stack: AsyncDisposableStack): Promise<ReadonlyMap<string, Client>> {
  const { mcpServers } = JSON.parse(readFileSync(file, 'utf8')) as {
    mcpServers: Record<string, { command: string; args: string[]; env?: Record<string, string> }>;
  };
  const clients = new Map<string, Client>();
  for (const [name, { command, args, env = {} }] of Object.entries(mcpServers)) {
    const client = new Client({ name: 'bench', version: '1' });
    await client.connect(new StdioClientTransport({ command, args, env, stderr: 'ignore' }));
    stack.defer(() => client.close());
    clients.set(name, client);
  }
  return clients;
}

async function connectTo(url: string): Promise<Client> {
  const client = new Client({ name: 'bench', version: '1' });
  await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`)));
  return client;
}

/** Tokens of what clients give a model of tools. */
async function definitionsOf(clients: readonly Client[], count: Count): Promise<number> {
  const lists = await Promise.all(clients.map((client) => client.listTools()));
  const tools = lists.flatMap((list) => list.tools);
  return count(
    tools.map(({ name, description, inputSchema }) => JSON.stringify({ name, description, inputSchema })).join('\n'),
  );
}

async function takeDirectly(
  task: Task,
  servers: ReadonlyMap<string, Client>,
  data: string,
  count: Count,
): Promise<Way> {
  const seen: string[] = [];
  let tokens = 0;
  for (const turn of task.direct) {
    for (const call of turn(seen, data)) {
      const text = await callText(servers, call);
      tokens += count(JSON.stringify({ name: call.tool, arguments: call.arguments })) + count(text);
      seen.push(text);
    }
  }
  return { tokens, turns: task.direct.length };
}

/** One turn looks for all the tools that it needs, the other runs the program. */
async function takeByCode(task: Task, glovebox: Client, data: string, count: Count): Promise<Way> {
  const calls: DirectCall[] = [
    ...task.search.map((query) => ({ server: '', tool: 'search_tools', arguments: { query } })),
    { server: '', tool: 'execute_python', arguments: { code: task.code(data), session_id: 'tokens' } },
  ];
  let tokens = 0;
  let output = '';
  for (const call of calls) {
    const text = await callText(new Map([['', glovebox]]), call);
    tokens += count(JSON.stringify({ name: call.tool, arguments: call.arguments })) + count(text);
    output = text;
  }
  if (!task.expected.test(output)) throw new Error(`${task.name}: ${output}`);
  return { tokens, turns: 2 };
}

/** The texts of a result: that is what most clients give a model. @throws if the tool failed */
async function callText(
  servers: ReadonlyMap<string, Client>,
  { server, tool, arguments: args }: DirectCall,
): Promise<string> {
  const client = servers.get(server);
  const answer = await client?.callTool({ name: tool, arguments: args });
  const texts = answer?.content.map((part) => (part.type === 'text' ? part.text : ''));
  const text = texts?.join('\n') ?? '';
  if (!answer || answer.isError) throw new Error(`${tool} failed: ${text}`);
  return text;
}
