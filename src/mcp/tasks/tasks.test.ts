import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { ElicitRequestSchema, TaskStatusNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { FixtureTasks, taskTools } from '../../../test/mcp/conformance-tasks.ts';
import { startProtocolServer } from '../../../test/mcp/protocol-server.ts';
import { modernHttp, oldHttp } from '../../../test/support/task-clients.ts';
import { GloveboxError } from '../../errors.ts';

const TIMES = { inlineMs: 0, settleMs: 0 };
const anything = z.looseObject({});

async function start() {
  const source = new FixtureTasks();
  const server = await startProtocolServer({ extend: () => taskTools(source), tasks: { source, times: TIMES } });
  return Object.assign(server, { source });
}

type Fixture = Awaited<ReturnType<typeof start>>;
let server: Fixture;
beforeAll(async () => {
  server = await start();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

/** What a client of an older version gets from the handshake and the list of tools. */
async function greet(protocolVersion: string, capabilities: object) {
  const headers = { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' };
  const post = async (body: object, session: Record<string, string> = {}) => {
    const url = `${server.url}/mcp`;
    const response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, ...session },
      body: JSON.stringify(body),
    });
    return { id: response.headers.get('mcp-session-id') ?? '', text: await response.text() };
  };
  const clientInfo = { name: 'raw', version: '1' };
  const params = { protocolVersion, capabilities, clientInfo };
  const { id, text } = await post({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
  const session = { 'Mcp-Session-Id': id, 'MCP-Protocol-Version': protocolVersion };
  const listed = await post({ jsonrpc: '2.0', id: 2, method: 'tools/list' }, session);
  const got = await post({ jsonrpc: '2.0', id: 3, method: 'tasks/get', params: { taskId: 'a' } }, session);
  return { initialized: text, listed: listed.text, got: got.text };
}

describe('tasks in the handshake and the list', () => {
  test('are told to clients that know them, and to no others', async () => {
    const { initialized, listed } = await greet('2025-11-25', { tasks: {} });
    expect(initialized).toContain('"tasks":{"list":{},"cancel":{}');
    expect(listed).toContain('"execution":{"taskSupport":"optional"}');
    for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
      const silent = await greet(version, {});
      for (const text of [silent.initialized, silent.listed]) {
        expect(text).not.toMatch(/taskSupport|"tasks"|extensions/);
      }
    }
  });

  test('do not exist in versions before 2025-11-25', async () => {
    const { initialized, listed, got } = await greet('2025-06-18', { tasks: {} });
    expect(initialized + listed).not.toMatch(/taskSupport|"tasks"/);
    expect(got).toContain('"code":-32601');
  });
});

describe('the extension of 2026-07-28', () => {
  test('is refused to a client that has not named it, with the capability that it lacks', async () => {
    const client = new Client(
      { name: 'silent', version: '1' },
      { versionNegotiation: { mode: { pin: '2026-07-28' } } },
    );
    await client.connect(new StreamableHTTPClientTransport(new URL('/mcp', server.url)));
    expect(client.getServerCapabilities()?.extensions).toEqual({ 'io.modelcontextprotocol/tasks': {} });
    const answer = await client.callTool({ name: 'slow_compute', arguments: { seconds: 0 } });
    expect(answer.content).toEqual([{ type: 'text', text: 'Computed.' }]);
    await expect(client.request({ method: 'tasks/get', params: { taskId: 'a' } }, anything)).rejects.toMatchObject({
      code: -32_021,
      data: { requiredCapabilities: { extensions: { 'io.modelcontextprotocol/tasks': {} } } },
    });
    await client.close();
  });

  test('creates a task by a result without content, which readers could take for an answer', async () => {
    await using client = await modernHttp(server);
    const created = await client.call('slow_compute', { seconds: 60 });
    expect(created).toMatchObject({ resultType: 'task', status: 'working' });
    expect(created).not.toHaveProperty('content');
    await client.request('tasks/cancel', { taskId: created['taskId'] });
  });

  test('tells what a task asks for, and goes on with the answer', async () => {
    await using client = await modernHttp(server);
    const { taskId } = await client.call('confirm_delete', {});
    const status = async () => (await client.request('tasks/get', { taskId }))['status'];
    await expect.poll(status).toBe('input_required');
    const { inputRequests } = await client.request('tasks/get', { taskId });
    const [key = ''] = Object.keys(inputRequests as object);
    await client.request('tasks/update', { taskId, inputResponses: { other: { action: 'decline' } } });
    expect(await status()).toBe('input_required');
    await client.request('tasks/update', { taskId, inputResponses: { [key]: { action: 'accept', content: {} } } });
    await expect.poll(status).toBe('completed');
  });
});

describe('the experimental tasks of 2025-11-25', () => {
  test('give the outcome of the call: a result, a failure of the tool, or an error', async () => {
    await using client = await oldHttp(server);
    const outcome = async (name: string, args = {}) => {
      const types: unknown[] = [];
      for await (const message of client.experimental.tasks.callToolStream({ name, arguments: args })) {
        if (message.type === 'taskStatus') types.push(message.task.status);
        if (message.type === 'result' || message.type === 'error') types.push(message.type);
      }
      return types.slice(-2);
    };
    expect(await outcome('slow_compute', { seconds: 0 })).toEqual(['completed', 'result']);
    expect(await outcome('failing_job')).toEqual(['failed', 'error']);
    expect(await outcome('protocol_error_job')).toEqual(['failed', 'error']);
  });

  test('ask the user of the client while it waits for the result', async () => {
    await using client = await oldHttp(server, {}, { tasks: {}, elicitation: {} });
    const asked: unknown[] = [];
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
      asked.push(params._meta);
      return { action: 'accept', content: { confirm: 'yes' } };
    });
    const messages: unknown[] = [];
    for await (const message of client.experimental.tasks.callToolStream({ name: 'confirm_delete' })) {
      if (message.type === 'result') messages.push(message.result);
    }
    expect(asked).toMatchObject([{ 'io.modelcontextprotocol/related-task': { taskId: expect.any(String) } }]);
    expect(JSON.stringify(messages)).toContain('yes');
  });

  test('tell of the end, and list page by page', async () => {
    await using client = await oldHttp(server);
    const told: unknown[] = [];
    client.setNotificationHandler(TaskStatusNotificationSchema, ({ params }) => void told.push(params.status));
    for (let made = 0; made < 120; made += 1) server.source.begin('local', async () => ({ content: [] }));
    const first = await client.experimental.tasks.listTasks();
    expect(first.tasks).toHaveLength(100);
    const second = await client.experimental.tasks.listTasks(first.nextCursor);
    expect(second.tasks.length).toBeGreaterThanOrEqual(20);
    await expect(client.experimental.tasks.listTasks('nowhere')).rejects.toThrow('cursor');
    const stream = client.experimental.tasks.callToolStream({ name: 'slow_compute', arguments: { seconds: 0.1 } });
    for await (const _message of stream);
    await expect.poll(() => told).toEqual(['completed']);
  });

  test('say of a task whose session another server holds where to ask', async () => {
    const moved = await start();
    moved.source.get = async () => {
      throw new GloveboxError('session_moved', 'Another server holds it.', { begun: false });
    };
    await using client = await oldHttp(moved);
    await expect(client.experimental.tasks.getTask('exe_1')).rejects.toMatchObject({
      message: expect.stringMatching(/Another server holds it.*\n.*get_execution/),
      data: { code: 'session_moved' },
    });
    await client.close();
    await moved[Symbol.asyncDispose]();
  });

  test('refuse tools that are no tasks', async () => {
    await using client = await oldHttp(server);
    const call = { name: 'greet', arguments: { name: 'Bob' } };
    const stream = client.experimental.tasks.callToolStream(call, undefined, { task: {} });
    const { value } = await stream.next();
    expect(value).toMatchObject({ type: 'error', error: { code: -32_601 } });
  });
});
