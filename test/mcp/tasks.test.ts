import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/free-port.ts';
import { callTool, runPython } from '../support/rest-client.ts';
import {
  containersOf,
  environment,
  newStateDir,
  runCli,
  type Server,
  seenContainer,
  startServer,
} from '../support/server.ts';
import { type Answer, type ModernClient, modernHttp, modernStdio } from '../support/task-clients.ts';

const PATIENCE = { timeout: 20_000, interval: 50 };
const AT_ONCE = { GLOVEBOX_TASK_AFTER_S: '0', GLOVEBOX_POOL_SIZE: '0' };
const NEVER = { GLOVEBOX_TASK_AFTER_S: '600', GLOVEBOX_POOL_SIZE: '0' };
/** Code that waits until a file of the session says that it may go on. */
const WAITS = 'import os, time\nprint("begun", flush=True)\nwhile not os.path.exists("go"): time.sleep(0.02)\n';

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: AT_ONCE });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function release(session_id: string, at: Server): Promise<void> {
  await callTool(at, 'write_file', { session_id, path: 'go', content: '' });
}

async function recent(at: Server) {
  const answer = (await (await fetch(`${at.url}/executions`)).json()) as {
    executions: { session_id: string; status: string; background: boolean }[];
  };
  return answer.executions;
}

async function ended(client: ModernClient, taskId: unknown): Promise<Answer> {
  await expect
    .poll(async () => (await client.request('tasks/get', { taskId }))['status'], PATIENCE)
    .not.toBe('working');
  return await client.request('tasks/get', { taskId });
}

const structured = (answer: Answer) => answer['structuredContent'] as Record<string, unknown>;
const backgroundOf = async (session: string, at: Server) =>
  (await (await fetch(`${at.url}/sessions/${session}/executions`)).json()) as { executions: unknown[] };

describe.each([
  ['HTTP', () => modernHttp(server)],
  ['stdio', () => modernStdio(undefined, AT_ONCE)],
])('tasks of 2026-07-28 over %s', (_name, connect) => {
  test('code that takes long becomes a task, whose result is that of the call', async () => {
    await using client = await connect();
    const args = { session_id: 'long', code: `${WAITS}print("done")\n"value"` };
    const created = await client.call('execute_python', args);
    expect(created).toMatchObject({ resultType: 'task', status: 'working', taskId: expect.stringMatching(/^exe_/) });
    expect(created).not.toHaveProperty('content');
    expect(created['ttlMs']).toBeGreaterThan(60_000);
    const { taskId } = created;
    expect(await client.request('tasks/get', { taskId })).toMatchObject({ taskId, status: 'working' });
    await client.call('write_file', { session_id: 'long', path: 'go', content: '' });
    const { result, ...task } = await ended(client, taskId);
    expect(task).toMatchObject({ status: 'completed', statusMessage: expect.stringContaining('"ok"') });
    expect(structured(result as Answer)).toMatchObject({
      execution_id: taskId,
      session_created: true,
      status: 'ok',
      stdout: 'begun\ndone\n',
      results: [{ text: "'value'" }],
    });
  });

  test('a command becomes a task as code does', async () => {
    await using client = await connect();
    const command = 'until [ -e go ]; do sleep 0.02; done; echo done; exit 3';
    const { taskId } = await client.call('run_command', { session_id: 'command', command });
    expect(await client.request('tasks/get', { taskId })).toMatchObject({ taskId, status: 'working' });
    await client.call('write_file', { session_id: 'command', path: 'go', content: '' });
    const { result } = await ended(client, taskId);
    expect(structured(result as Answer)).toMatchObject({ execution_id: taskId, exit_code: 3, stdout: 'done\n' });
  });

  test('a cancelled task ends its code', async () => {
    await using client = await connect();
    const code = `${WAITS.replace('"go"', '"never"')}`;
    const { taskId } = await client.call('execute_python', { session_id: 'cancelled', code, timeout_s: 100 });
    expect(await client.request('tasks/cancel', { taskId })).not.toHaveProperty('taskId');
    expect(await ended(client, taskId)).toMatchObject({ status: 'cancelled' });
    expect(await client.request('tasks/cancel', { taskId })).not.toHaveProperty('taskId');
    const next = await client.call('execute_python', { session_id: 'cancelled', code: 'print("free")' });
    const { result } = await ended(client, next['taskId']);
    expect(structured(result as Answer)).toMatchObject({ status: 'ok', stdout: 'free\n' });
  });

  test('a task that is unknown is refused by name, and so is a method of the other spelling', async () => {
    await using client = await connect();
    for (const taskId of ['exe_AAAAAAAAAAAA', '../../etc/passwd', '']) {
      await expect(client.request('tasks/get', { taskId })).rejects.toThrow('There is no such task.');
    }
    await expect(client.request('tasks/result', { taskId: 'exe_AAAAAAAAAAAA' })).rejects.toThrow();
  });
});

describe('code that ends soon', () => {
  let patient: Server;
  beforeAll(async () => {
    patient = await startServer({ env: NEVER });
  });
  afterAll(async () => {
    await patient[Symbol.asyncDispose]();
  });

  const code = [
    'import sys',
    'for n in range(3): print(f"\\r{n}", end="", flush=True)',
    'print("x" * 300_000)',
    'print("error", file=sys.stderr)',
    'open("made.txt", "w").write("1")',
    'import base64; from IPython.display import HTML, display; display(HTML("<b>b</b>"))',
    '1 + 1',
  ].join('\n');

  test('is answered as for a client that says nothing of tasks', async () => {
    await using client = await modernHttp(patient);
    const plain = await runPython(patient, code, { session_id: 'soon-plain' });
    const { content, ...answer } = await client.call('execute_python', { session_id: 'soon-task', code });
    expect(content).toHaveLength(2);
    expect(answer['resultType']).toBe('complete');
    const varying = { session_id: '', execution_id: '', duration_ms: 0, queued_ms: 0, cpu_ms: 0, peak_memory_bytes: 0 };
    const told = JSON.stringify({ ...structured(answer), ...varying }).replace(/exe_[\w-]+/g, '');
    expect(JSON.parse(told)).toEqual(JSON.parse(JSON.stringify({ ...plain, ...varying }).replace(/exe_[\w-]+/g, '')));
  });

  test('leaves nothing behind, in lists or files', async () => {
    await using client = await modernHttp(patient);
    await client.call('execute_python', { session_id: 'soon', code: 'print("short")\n1' });
    expect(await backgroundOf('soon', patient)).toEqual({ executions: [] });
    expect((await recent(patient)).filter(({ session_id }) => session_id === 'soon')).toMatchObject([
      { background: false },
    ]);
    await expect
      .poll(async () => (await runPython(patient, LIST_OUTPUTS, { session_id: 'soon' })).stdout, PATIENCE)
      .toBe('[]\n');
  });

  test('may go into the background where the model says so, and is told at once', async () => {
    await using client = await modernHttp(patient);
    const answer = await client.call('execute_python', { session_id: 'asked', code: 'print(1)', background: true });
    expect(structured(answer)).toMatchObject({ status: 'running' });
  });

  test('ends with the call that its client gives up', async () => {
    const controller = new AbortController();
    const call = fetch(`${patient.url}/mcp`, modernCall('given-up', WAITS, controller.signal));
    const status = async () => (await recent(patient)).find(({ session_id }) => session_id === 'given-up')?.status;
    await expect.poll(status, PATIENCE).toBe('running');
    controller.abort();
    await call.catch(() => {});
    await expect.poll(status, PATIENCE).toBe('cancelled');
  });
});

const LIST_OUTPUTS = 'import os; print(os.listdir(".glovebox/outputs") if os.path.exists(".glovebox/outputs") else [])';

function modernCall(session_id: string, code: string, signal: AbortSignal): RequestInit {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
  };
  const params = { name: 'execute_python', arguments: { session_id, code }, _meta: meta };
  const headers = {
    'Content-Type': 'application/json',
    Accept: 'application/json, text/event-stream',
    'MCP-Protocol-Version': '2026-07-28',
    'Mcp-Method': 'tools/call',
    'Mcp-Name': 'execute_python',
  };
  return {
    method: 'POST',
    headers,
    signal,
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }),
  };
}

describe('a task and the control plane', () => {
  const newPlace = async () => ({ stateDir: newStateDir(), port: await freePort(), env: AT_ONCE });

  test('outlives a control plane that is killed, and the next one has its result', async () => {
    const place = await newPlace();
    const first = await startServer(place);
    const { taskId } = await modernHttp(first).then((client) =>
      client.call('execute_python', { session_id: 'kept', code: `${WAITS}print("done")`, timeout_s: 100 }),
    );
    await first.kill();
    await using second = await startServer(place);
    await using client = await modernHttp(second);
    expect(await client.request('tasks/get', { taskId })).toMatchObject({ status: 'working' });
    await release('kept', second);
    const { status, result } = await ended(client, taskId);
    expect(status).toBe('completed');
    expect(structured(result as Answer)).toMatchObject({ status: 'ok', stdout: 'begun\ndone\n' });
    expect(structured(result as Answer)).not.toHaveProperty('next');
  });

  test('says that its code was lost when its container was', async () => {
    const place = await newPlace();
    const first = await startServer(place);
    const { taskId } = await modernHttp(first).then((client) =>
      client.call('execute_python', { session_id: 'lost', code: WAITS, timeout_s: 100 }),
    );
    await first.kill();
    for (const { Id } of await containersOf(first)) await seenContainer(Id).remove({ force: true });
    await using second = await startServer(place);
    await using client = await modernHttp(second);
    const { status, result } = await ended(client, taskId);
    expect(status).toBe('completed');
    expect(structured(result as Answer)).toMatchObject({
      status: 'crashed',
      session_reset: { reason: 'sandbox_lost' },
    });
    expect(structured(result as Answer)['stderr']).toContain('lost');
  });
});

test('the task of another owner is as unknown as one that never was', async () => {
  const env = { ...AT_ONCE, GLOVEBOX_AUTH: 'keys' };
  const stateDir = newStateDir();
  const keys = await Promise.all(
    ['alice', 'bob'].map(async (name) => {
      const { stdout } = await runCli(['key', 'new', name], environment(stateDir, env));
      return { headers: { Authorization: `Bearer ${/gbx_\S+/.exec(stdout)?.[0] ?? stdout.trim()}` } };
    }),
  );
  await using own = await startServer({ stateDir, env });
  await using alice = await modernHttp(own, keys[0]);
  await using bob = await modernHttp(own, keys[1]);
  const { taskId } = await alice.call('execute_python', { code: WAITS, timeout_s: 100 });
  const said = async (method: string, id: unknown) =>
    await bob.request(method, { taskId: id, inputResponses: {} }).catch((error: Error) => error.message);
  for (const method of ['tasks/get', 'tasks/cancel', 'tasks/update']) {
    const ofAnother = await said(method, taskId);
    expect(ofAnother).toContain('There is no such task.');
    expect(ofAnother).toBe(await said(method, 'exe_AAAAAAAAAAAA'));
  }
  expect(await alice.request('tasks/get', { taskId })).toMatchObject({ status: 'working' });
  await alice.request('tasks/cancel', { taskId });
  await ended(alice, taskId);
});
