import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { LEGACY_HTTP } from '../support/mcp-clients.ts';
import { callTool } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';
import { type OldTaskClient, oldHttp, oldSse, oldStdio } from '../support/task-clients.ts';

const ENV = { GLOVEBOX_POOL_SIZE: '0' };
/** Code that waits until a file of the session says that it may go on. */
const WAITS = 'import os, time\nprint("begun", flush=True)\nwhile not os.path.exists("go"): time.sleep(0.02)\n';
const RELATED = 'io.modelcontextprotocol/related-task';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: ENV });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

function start(client: OldTaskClient, args: Record<string, unknown>) {
  return client.experimental.tasks.callToolStream({ name: 'execute_python', arguments: args });
}

/** Begins a call, and gives the id of its task. */
async function begin(client: OldTaskClient, args: Record<string, unknown>): Promise<string> {
  for await (const message of start(client, args)) {
    if (message.type === 'taskCreated') return message.task.taskId;
    throw new Error(JSON.stringify(message));
  }
  throw new Error('No task was created.');
}

describe.each([
  ['streamable HTTP', () => oldHttp(server)],
  ['SSE', () => oldSse(server)],
  ['stdio', () => oldStdio(undefined, ENV)],
])('tasks of 2025-11-25 by the stock client, over %s', (_name, connect) => {
  test('each call of execute_python is a task, and its result is that of the call', async () => {
    await using client = await connect();
    expect(client.getServerCapabilities()?.tasks).toEqual({ list: {}, cancel: {}, requests: { tools: { call: {} } } });
    const types: string[] = [];
    let result: unknown;
    for await (const message of start(client, { code: 'print("hello")' })) {
      if (types.at(-1) !== message.type) types.push(message.type);
      if (message.type === 'result') ({ result } = message);
    }
    expect(types).toEqual(['taskCreated', 'taskStatus', 'result']);
    expect(result).toMatchObject({
      structuredContent: { status: 'ok', stdout: 'hello\n' },
      _meta: { [RELATED]: { taskId: expect.stringMatching(/^exe_/) } },
    });
  });

  test('the result comes to who waits for it, also to several', async () => {
    await using client = await connect();
    const taskId = await begin(client, { session_id: 'awaited', code: `${WAITS}print("done")` });
    const { getTaskResult } = client.experimental.tasks;
    const results = [1, 2].map(() => getTaskResult.call(client.experimental.tasks, taskId, CallToolResultSchema));
    await client.callTool({ name: 'write_file', arguments: { session_id: 'awaited', path: 'go', content: '' } });
    for (const result of results)
      expect(await result).toMatchObject({ structuredContent: { stdout: 'begun\ndone\n' } });
    const { tasks } = await client.experimental.tasks.listTasks();
    expect(tasks.find((task) => task.taskId === taskId)).toMatchObject({ status: 'completed' });
  });

  test('a cancelled task ends its code, and is not cancelled twice', async () => {
    await using client = await connect();
    const taskId = await begin(client, { session_id: 'cancelled', code: WAITS, timeout_s: 100 });
    expect(await client.experimental.tasks.cancelTask(taskId)).toMatchObject({ taskId, status: 'cancelled' });
    const result = await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema);
    expect(result).toMatchObject({ structuredContent: { status: 'cancelled' } });
    await expect(client.experimental.tasks.cancelTask(taskId)).rejects.toThrow('has ended already');
  });

  test('input that cannot run is refused as an error, because a task would have nothing to do', async () => {
    await using client = await connect();
    await expect(begin(client, { cod: 'print(1)' })).rejects.toThrow('Did you mean \\"code\\"');
    await expect(client.experimental.tasks.getTask('exe_AAAAAAAAAAAA')).rejects.toThrow('There is no such task.');
  });
});

test('the task of an earlier connection goes on after a control plane that was killed', async () => {
  const place = { stateDir: newStateDir(), port: await freePort(), env: ENV };
  const first = await startServer(place);
  const taskId = await begin(await oldHttp(first), {
    session_id: 'kept',
    code: `${WAITS}print("done")`,
    timeout_s: 100,
  });
  await first.kill();
  await using second = await startServer(place);
  await using client = await oldHttp(second);
  expect((await client.experimental.tasks.listTasks()).tasks).toMatchObject([{ taskId, status: 'working' }]);
  await callTool(second, 'write_file', { session_id: 'kept', path: 'go', content: '' });
  const result = await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema);
  expect(result).toMatchObject({ structuredContent: { status: 'ok', stdout: 'begun\ndone\n' } });
});

test.each(LEGACY_HTTP)('a client that says nothing of tasks sees nothing of them (%s)', async (_name, connect) => {
  await using client = await connect(server);
  expect(JSON.stringify(await client.list())).not.toContain('taskSupport');
});
