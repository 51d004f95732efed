import { setTimeout as sleep } from 'node:timers/promises';
import { Violation } from '../calls.ts';
import type { Tenant } from '../tenant.ts';
import type { Scenario } from './scenario.ts';

const MOST_FILES = 20;
const CONTEXTS = ['a', 'b', 'c'];
/** Longer than an idle session stays awake in a soak. */
const REST_MS = 18_000;
const MOST_CLOSES = 3;

/** What well-behaved callers do. */
export const ORDINARY: readonly Scenario[] = [
  { name: 'print', weight: 170, run: print },
  { name: 'prints at once', weight: 30, run: printAtOnce },
  { name: 'stdin', weight: 25, run: readStdin },
  { name: 'exit code', weight: 15, run: exit },
  { name: 'file written', weight: 35, run: writeFile },
  { name: 'file read', weight: 35, run: readFile },
  { name: 'context', weight: 50, run: useContext },
  { name: 'display', weight: 20, run: display },
  { name: 'flood', weight: 4, run: flood },
  { name: 'upload and download', weight: 15, run: transfer },
  { name: 'rest', weight: 0.7, run: rest },
  { name: 'close', weight: 3, run: close },
];

async function print(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  await tenant.run(`print(${quote(token)})`, { stdout: `${token}\n` });
  return 1;
}

async function printAtOnce(tenant: Tenant): Promise<number> {
  const tokens = [tenant.token(), tenant.token(), tenant.token()];
  await Promise.all(tokens.map((token) => tenant.run(`print(${quote(token)})`, { stdout: `${token}\n` })));
  return tokens.length;
}

async function readStdin(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const copies = tenant.random.pick([1, 1000, 8000]);
  const code = 'import sys; text = sys.stdin.read(); print(len(text), text[:26].split(";")[0])';
  const stdin = `${token};`.repeat(copies);
  await tenant.run(code, { stdout: `${stdin.length} ${token}\n` }, { stdin });
  return 1;
}

async function exit(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const { exit_code: code } = await tenant.run(`print(${quote(token)}); raise SystemExit(7)`, {
    status: ['error'],
    stdout: `${token}\n`,
  });
  if (code !== 7) throw new Violation(`An exit code of 7 was told as ${code}.`);
  return 1;
}

async function writeFile(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const path = `f${tenant.random.whole(1, MOST_FILES)}.txt`;
  const { files } = await tenant.run(`open(${quote(path)}, "w").write(${quote(token)})`, {});
  // What the same call lost is known already: this file is newer.
  tenant.files.set(path, token);
  if (!files.some((file) => file.path === path)) throw new Violation(`${path} is not among the files that changed.`);
  return 1;
}

async function readFile(tenant: Tenant): Promise<number> {
  const code = 'import glob\nfor p in sorted(glob.glob("f*.txt")): print(p, open(p).read())';
  const { stdout } = await tenant.run(code, {});
  const found = new Map(stdout.split('\n').flatMap((line) => (line ? [line.split(' ') as [string, string]] : [])));
  for (const [path, content] of tenant.files) {
    if (found.get(path) !== content) throw new Violation(`${path} has ${found.get(path)} instead of ${content}.`);
  }
  return 1;
}

async function useContext(tenant: Tenant): Promise<number> {
  const context = tenant.random.pick(CONTEXTS);
  const token = tenant.token();
  const code = `n = globals().get("n", 0) + 1\nprint(${quote(token)}, n)`;
  const result = await tenant.run(code, {}, { context });
  const used = (tenant.contexts.get(context) ?? 0) + 1;
  tenant.contexts.set(context, used);
  if (result.stdout !== `${token} ${used}\n`) {
    throw new Violation(`Context ${context} should be at ${used}, and says ${JSON.stringify(result)}`);
  }
  return 1;
}

async function display(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const { results } = await tenant.run(`display({"token": ${quote(token)}})`, { stdout: '' });
  if (!String(results?.[0]?.['text']).includes(token)) throw new Violation(`Displayed: ${JSON.stringify(results)}`);
  return 1;
}

async function flood(tenant: Tenant): Promise<number> {
  const token = tenant.token();
  const megabytes = tenant.random.whole(1, 5);
  const code = `import sys
line = b"x" * 999 + b"\\n"
for _ in range(${megabytes * 1000}): sys.stdout.buffer.write(line)
sys.stdout.buffer.write(${quote(token)}.encode())`;
  const { stdout, truncated } = await tenant.run(code, {}, { timeout_s: 60 });
  const total = megabytes * 1_000_000 + token.length;
  if (truncated?.stdout?.total_bytes === total && stdout.endsWith(token)) return 1;
  throw new Violation(
    `A flood of ${total} bytes was told as ${JSON.stringify(truncated)}, ending ${stdout.slice(-80)}`,
  );
}

async function transfer(tenant: Tenant): Promise<number> {
  const content = `${tenant.token()} `.repeat(tenant.random.pick([1, 100, 10_000]));
  const path = `/sessions/${tenant.name}/files/up/loaded.txt`;
  const put = await tenant.request('PUT', path, content);
  if (put.status !== 200 && put.status !== 201) throw new Violation(`An upload answered ${JSON.stringify(put)}`);
  const reset = JSON.parse(put.text).session_reset;
  if (reset?.lost.includes('files')) tenant.files.clear();
  const got = await tenant.request('GET', path);
  if (got.text !== content) throw new Violation(`A download answered ${got.status} ${got.text.slice(0, 200)}`);
  return 0;
}

/** Idle for so long that it may be put to rest; what it has must be there afterwards. */
async function rest(tenant: Tenant): Promise<number> {
  await sleep(REST_MS);
  return await readFile(tenant);
}

async function close(tenant: Tenant): Promise<number> {
  const ask = async () => (await tenant.request('DELETE', `/sessions/${tenant.name}`)).status;
  let status = await ask();
  // An engine on a busy machine may fail to end a container in time. Who is told so asks again.
  for (let tries = 1; status === 503 && tries < MOST_CLOSES; tries++) status = await ask();
  // One that nothing has been asked of yet is not there.
  if (status !== 204 && status !== 404) throw new Violation(`A close answered ${status}.`);
  tenant.forget();
  const { session_created: created } = await tenant.run('import os; print(os.listdir())', { stdout: '[]\n' });
  if (!created) throw new Violation('A session that was closed was not made anew.');
  return 1;
}

export function quote(text: string): string {
  return JSON.stringify(text);
}
