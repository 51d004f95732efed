import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeEnvironment, pythonEnvironment, run } from '../clients/environments.ts';
import { failureOf, openBroker, type TestBroker } from '../support/broker.ts';
import { freePort } from '../support/free-port.ts';

const MINUTES = 240_000;
const closing: AsyncDisposable[] = [];
let everything: string;
let opened: TestBroker;

/** Starts the server that has everything over HTTP. */
async function startEverything(transport: 'streamableHttp' | 'sse'): Promise<string> {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port) };
  const child = spawn(process.execPath, [everything, transport], { env, stdio: ['ignore', 'ignore', 'pipe'] });
  closing.push({
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  });
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('it has ended')));
    child.stderr.on('data', (chunk: Buffer) => /on port/.test(chunk.toString('utf8')) && resolve());
  });
  return `http://127.0.0.1:${port}/${transport === 'sse' ? 'sse' : 'mcp'}`;
}

beforeAll(async () => {
  const [packages, python] = await Promise.all([
    nodeEnvironment('packages-tool-servers.json'),
    pythonEnvironment('requirements-tool-servers.txt'),
  ]);
  const program = (name: string) => join(packages, 'node_modules/@modelcontextprotocol', name, 'dist/index.js');
  everything = program('server-everything');
  const node = (name: string, ...args: string[]) => ({ command: process.execPath, args: [program(name), ...args] });
  const [http, sse] = await Promise.all([startEverything('streamableHttp'), startEverything('sse')]);
  opened = openBroker(
    {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: that is the form of a placeholder.
      everything: { ...node('server-everything'), approve: 'never', env: { CANARY: '${secret:CANARY}' } },
      http: { url: http, approve: 'never', timeout_s: 2 },
      // Which of the two it is is found out.
      sse: { url: sse, approve: 'never', max_result_bytes: 5000 },
      files: { ...node('server-filesystem', '.'), trusted: true },
      memory: { ...node('server-memory'), approve: 'never', deny: ['delete_*'], cwd: '/' },
      git: { command: join(python, '../mcp-server-git'), approve: { 'git_{log,status}': 'never' } },
    },
    { mayStart: true, secrets: [['CANARY', 'canary-0123456789']] },
  );
}, MINUTES);

afterAll(async () => {
  await opened?.[Symbol.asyncDispose]();
  for (const one of closing) await one[Symbol.asyncDispose]();
});

describe.each(['everything', 'http', 'sse'])('the server that has everything, as %s', (server) => {
  const value = (tool: string, args?: Record<string, unknown>) => opened.value(`${server}.${tool}`, args);

  it('answers texts, structures and links, which can be read', async () => {
    expect(await value('echo', { message: 'grüße' })).toBe('Echo: grüße');
    expect(await value('get-structured-content', { location: 'Chicago' })).toMatchObject({
      temperature: expect.any(Number),
      conditions: expect.any(String),
    });
    const { parts } = await opened.call(`${server}.get-resource-links`, { count: 2 });
    expect(parts.map(({ type }) => type)).toEqual(['text', 'link', 'link']);
    const [, , link] = parts;
    const caller = { owner: 'local', sessionId: 's', executionId: 'e' };
    const { signal } = new AbortController();
    const uri = link?.type === 'link' ? link.uri : '';
    const read = await opened.broker.read({ caller, server, uri, signal });
    expect(read.parts).toEqual([expect.objectContaining({ type: 'file', name: '2', mime: 'text/plain' })]);
  });

  it('answers pictures as files, unless they are too large', async () => {
    const calling = opened.call(`${server}.get-tiny-image`);
    if (server === 'sse') expect(await failureOf(calling)).toMatchObject({ code: 'limit' });
    else {
      const file = (await calling).parts.find(({ type }) => type === 'file');
      expect(file).toMatchObject({ mime: 'image/png', data: expect.stringMatching(/^iVBORw0KGgo/) });
    }
  });

  it('says what is wrong with arguments', async () => {
    expect(await failureOf(opened.call(`${server}.get-sum`, { a: 'x', b: 1 }))).toMatchObject({
      code: 'bad_arguments',
      message: expect.stringMatching(/expected number/),
    });
    expect(await failureOf(opened.call(`${server}.ecko`))).toMatchObject({ hint: 'Did you mean echo?' });
  });

  it('is offered neither a model nor a person', async () => {
    const [catalog] = await opened.broker.catalog('local', [server], new AbortController().signal);
    const names = catalog?.tools.map(({ name }) => name) ?? [];
    expect(names).toContain('echo');
    expect(names.filter((name) => /sampling|elicitation|roots/.test(name))).toEqual([]);
  });
});

it('a call that takes too long ends, and the server can be called again', async () => {
  const slow = opened.call('http.trigger-long-running-operation', { duration: 60, steps: 60 });
  expect(await failureOf(slow)).toMatchObject({ code: 'timeout' });
  expect(await opened.value('http.echo', { message: 'x' })).toBe('Echo: x');
});

it('a secret in the environment of a command does not come back', async () => {
  expect(await opened.value('everything.get-env')).toMatchObject({ CANARY: '[secret removed]' });
});

it('a server of files asks before it writes, and is believed that it reads', async () => {
  const { parts } = await opened.call('files.read_text_file', { path: 'package.json' });
  expect(JSON.stringify(parts)).toContain('glovebox');
  const asked: string[] = [];
  const approve = async ({ tool, mode }: { tool: string; mode: string }) => {
    asked.push(`${tool} ${mode}`);
    return 'refused' as const;
  };
  const write = opened.call('files.write_file', { path: 'x', content: 'y' }, { approve });
  expect(await failureOf(write)).toMatchObject({ code: 'approval_refused' });
  expect(asked).toEqual(['write_file writes']);
  expect(await failureOf(opened.call('files.read_text_file', { path: '/etc/passwd' }))).toMatchObject({
    code: 'upstream',
    message: expect.stringMatching(/^files failed: Access denied/),
  });
});

it('a server of knowledge keeps its place, and what is denied is denied', async () => {
  expect(await opened.value('memory.search_nodes', { query: 'nothing-has-this-name' })).toEqual({
    entities: [],
    relations: [],
  });
  expect(await failureOf(opened.call('memory.delete_entities', { entityNames: [] }))).toMatchObject({ code: 'denied' });
});

it('a server in Python says what git says', async () => {
  const repository = join(opened.stateDir, 'repository');
  const git = (...args: string[]) => run('git', ['-c', 'user.name=a', '-c', 'user.email=a@b.example', ...args]);
  await git('init', '-q', repository);
  await git('-C', repository, 'commit', '-q', '--allow-empty', '-m', 'A first commit');
  expect(await opened.value('git.git_log', { repo_path: repository })).toContain('A first commit');
  const refuse = { approve: async () => 'unavailable' as const };
  const reset = opened.call('git.git_reset', { repo_path: repository }, refuse);
  expect(await failureOf(reset)).toMatchObject({ code: 'approval_unavailable' });
});
