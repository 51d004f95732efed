import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ElicitRequest, ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newStateDir, type Server, startServer } from '../support/server.ts';
import { type Answer, type ModernClient, modernHttp, oldHttp, oldSse, oldStdio } from '../support/task-clients.ts';
import { type RunningToolServer, startToolServer } from '../support/tool-server.ts';

const PATIENCE = { timeout: 20_000, interval: 50 };
const ADD = { type: 'object' as const, properties: { a: { type: 'number' }, b: { type: 'number' } }, required: ['a'] };
/** Code that tells what became of a call for which a person is asked. */
const CODE = `
import tools
try:
    print(tools.numbers.add(a=1, b=2))
except tools.ToolError as error:
    print(error.code)
`;
const ELICITS = { tasks: {}, elicitation: {} };

let upstream: RunningToolServer;
let server: Server;
let env: Record<string, string>;
beforeAll(async () => {
  upstream = await startToolServer({
    tools: () => [
      {
        ...{ name: 'add', inputSchema: ADD },
        outputSchema: { type: 'object', properties: { result: { type: 'number' } } },
        run: ({ a, b }) => ({ content: [], structuredContent: { result: Number(a) + Number(b) } }),
      },
    ],
  });
  const stateDir = newStateDir();
  const file = join(stateDir, 'tools.json');
  const numbers = { url: upstream.url, owners: ['*'], default: true, approve: 'always', description: 'Sums.' };
  writeFileSync(file, JSON.stringify({ mcpServers: { numbers } }));
  env = { GLOVEBOX_TOOLS: file, GLOVEBOX_TASK_AFTER_S: '600', GLOVEBOX_POOL_SIZE: '0' };
  server = await startServer({ stateDir, env });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await upstream[Symbol.asyncDispose]();
});

const stdoutOf = (result: unknown) => (result as Answer)['structuredContent'] as { stdout: string; status: string };

describe('a task of 2026-07-28 whose code needs the word of a person', () => {
  /** Begins a call that asks, and gives its task and the key of the question. */
  async function ask(client: ModernClient) {
    const created = await client.call('execute_python', { code: CODE });
    expect(created).toMatchObject({ resultType: 'task', status: 'input_required' });
    expect(created).not.toHaveProperty('inputRequests');
    const { taskId } = created;
    const { status, inputRequests } = await client.request('tasks/get', { taskId });
    expect(status).toBe('input_required');
    const [[key = '', request] = []] = Object.entries(inputRequests as object);
    expect(request).toMatchObject({
      method: 'elicitation/create',
      params: {
        message: expect.stringContaining('call the tool add of numbers?'),
        requestedSchema: { type: 'object' },
      },
    });
    return { taskId, key };
  }

  async function end(client: ModernClient, taskId: unknown) {
    const read = () => client.request('tasks/get', { taskId });
    await expect.poll(async () => (await read())['status'], PATIENCE).toBe('completed');
    return stdoutOf((await read())['result']);
  }

  test.each([
    ['once', '3\n'],
    ['refuse', 'approval_refused\n'],
  ])('goes on with the answer "%s"', async (answer, stdout) => {
    await using client = await modernHttp(server);
    const { taskId, key } = await ask(client);
    const inputResponses = { [key]: { action: 'accept', content: { answer } } };
    await client.request('tasks/update', {
      taskId,
      inputResponses: { ...inputResponses, other: { action: 'accept' } },
    });
    expect(await end(client, taskId)).toMatchObject({ status: 'ok', stdout });
  });

  test('is answered once, by the first of two answers', async () => {
    await using client = await modernHttp(server);
    const { taskId, key } = await ask(client);
    const answer = (given: string) =>
      client.request('tasks/update', {
        taskId,
        inputResponses: { [key]: { action: 'accept', content: { answer: given } } },
      });
    await answer('refuse');
    await answer('once');
    expect(await end(client, taskId)).toMatchObject({ stdout: 'approval_refused\n' });
  });

  test('is cancelled while it waits', async () => {
    await using client = await modernHttp(server);
    const { taskId } = await ask(client);
    await client.request('tasks/cancel', { taskId });
    await expect
      .poll(async () => (await client.request('tasks/get', { taskId }))['status'], PATIENCE)
      .toBe('cancelled');
  });

  test('is none for a client whose user cannot be asked: it is refused at once', async () => {
    await using client = await modernHttp(server, {}, { extensions: { 'io.modelcontextprotocol/tasks': {} } });
    const answer = await client.call('execute_python', { code: CODE });
    expect(stdoutOf(answer)).toMatchObject({ stdout: 'approval_unavailable\n' });
  });
});

describe.each([
  ['streamable HTTP', () => oldHttp(server, {}, ELICITS)],
  ['SSE', () => oldSse(server, {}, ELICITS)],
  ['stdio', () => oldStdio(undefined, env, ELICITS)],
])('a task of 2025-11-25 whose code needs the word of a person, over %s', (_name, connect) => {
  test('asks the user of the client once, and goes on with the answer', async () => {
    await using client = await connect();
    const asked: ElicitRequest['params'][] = [];
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(params);
      return { action: 'accept', content: { answer: 'once' } };
    });
    let result: unknown;
    const stream = client.experimental.tasks.callToolStream({ name: 'execute_python', arguments: { code: CODE } });
    for await (const message of stream) if (message.type === 'result') ({ result } = message);
    expect(stdoutOf(result)).toMatchObject({ status: 'ok', stdout: '3\n' });
    expect(asked).toMatchObject([
      { _meta: { 'io.modelcontextprotocol/related-task': { taskId: expect.stringMatching(/^exe_/) } } },
    ]);
  });
});
