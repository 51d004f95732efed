import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { closeSession, type ErrorAnswer, type Execution, post } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { createParser } from '../support/sse.ts';

interface Asked {
  readonly id: string;
  readonly name: string;
  readonly arguments: Record<string, unknown>;
}
interface State extends Omit<Execution, 'status' | 'tool_calls'> {
  readonly status: Execution['status'] | 'tool_call_required';
  readonly tool_calls: readonly Asked[];
}
interface Answer {
  readonly name: string;
  readonly session_id: string;
  readonly result: State;
  readonly not_taken?: readonly { readonly id: string; readonly reason: string }[];
}
type Result = { readonly id: string; readonly value?: unknown; readonly error?: string };

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const ADD = {
  name: 'add',
  description: 'Adds.',
  inputSchema: {
    type: 'object',
    properties: { a: { type: 'number' }, b: { type: 'number' } },
    required: ['a', 'b'],
  },
};

/** What code does that speaks with the door by itself, so that nothing but the answers of the door counts. */
const DOOR = `
import json, os, socket
from concurrent.futures import ThreadPoolExecutor
def ask(**request):
    with socket.create_connection(("127.0.0.1", 3142)) as door:
        line = {"token": os.environ["GLOVEBOX_TOOLS_TOKEN"], **request}
        door.sendall(json.dumps(line).encode() + b"\\n")
        answer = door.makefile().readline()
    return json.loads(answer) if answer else None
def call(tool, server="client", **arguments):
    answer = ask(op="call", server=server, tool=tool, arguments=arguments)
    return answer["parts"] if answer and answer["ok"] else answer and answer["error"]
`;

async function read(response: Response): Promise<Answer> {
  const body = await response.json();
  expect(response.status, JSON.stringify(body)).toBe(200);
  return body as Answer;
}

async function refusal(response: Response) {
  const { error } = (await response.json()) as ErrorAnswer;
  return { status: response.status, ...error };
}

const send = (code: string, options: { tools?: unknown; args?: object; name?: string; at?: Server } = {}) =>
  post(options.at ?? server, '/execute', {
    name: options.name ?? 'execute_python',
    arguments: { code: DOOR + code, ...options.args },
    client_tools: options.tools ?? [ADD, { name: 'fail' }],
  });
const run = async (code: string, options: Parameters<typeof send>[1] = {}) => await read(await send(code, options));
const give = (id: string, results: readonly Result[], at = server) =>
  post(at, `/executions/${id}/tool_results`, { results });
const answer = async (id: string, results: readonly Result[]) => await read(await give(id, results));
const toResults = ({ tool_calls: calls }: State): Result[] =>
  calls.map(({ id, arguments: { a, b } }) => ({ id, value: Number(a) + Number(b) }));

describe("code that calls its caller's own tools", () => {
  test('may be run by a command, and its tool is named in each answer', async () => {
    const args = { command: ['python3', '-c', 'import tools; print(tools.client.add(a=20, b=22))'] };
    const body = { name: 'run_command', arguments: args, client_tools: [ADD] };
    const waiting = await read(await post(server, '/execute', body));
    expect(waiting).toMatchObject({ name: 'run_command', result: { status: 'tool_call_required' } });
    const end = await answer(waiting.result.execution_id, toResults(waiting.result));
    expect(end).toMatchObject({ name: 'run_command', result: { status: 'ok', stdout: '42\n' } });
  });

  test('is asked for with its arguments, and goes on in the same process with the answers', async () => {
    const waiting = await run('print("begun")\nprint(call("add", a=1, b=2))\nprint(call("add", a=3, b=4))');
    expect(waiting).toMatchObject({ name: 'execute_python', result: { status: 'tool_call_required' } });
    const { execution_id: id, session_id, tool_calls: calls } = waiting.result;
    expect(session_id).toBe(waiting.session_id);
    expect(calls).toEqual([{ id: expect.stringMatching(/^call_/), name: 'add', arguments: { a: 1, b: 2 } }]);
    const next = await answer(id, toResults(waiting.result));
    expect(next.result).toMatchObject({ execution_id: id, tool_calls: [{ name: 'add', arguments: { a: 3, b: 4 } }] });
    const end = await answer(id, toResults(next.result));
    expect(end).toMatchObject({ name: 'execute_python', session_id, result: { execution_id: id, status: 'ok' } });
    expect(end.result.stdout).toBe("begun\n[{'type': 'json', 'value': 3}]\n[{'type': 'json', 'value': 7}]\n");
    expect(end.result.tool_calls).toMatchObject([
      { n: 1, tool: 'client.add', status: 'ok', bytes: 1 },
      { n: 2, tool: 'client.add', status: 'ok', bytes: 1 },
    ]);
  });

  test('that is waited for a part of a millisecond is not an internal error', async () => {
    const waiting = await run('print(call("add", a=1, b=2))');
    const { execution_id: id } = waiting.result;
    for (const wait of ['0.0005', '0.0161', '1e-9', '0.30000000000000004']) {
      const response = await fetch(`${server.url}/executions/${id}?wait_s=${wait}&stdout_offset=1`);
      expect([response.status, ((await response.json()) as State).status]).toEqual([200, 'tool_call_required']);
    }
    const end = await answer(id, toResults(waiting.result));
    expect(end.result.status).toBe('ok');
  });

  test('makes calls from threads at the same time, in whatever rounds they come', async () => {
    const code =
      'with ThreadPoolExecutor(8) as pool: print(*pool.map(lambda n: call("add", a=n, b=1)[0]["value"], range(8)))';
    let state = (await run(code)).result;
    const calls = new Set<string>();
    while (state.status === 'tool_call_required') {
      for (const { id } of state.tool_calls) calls.add(id);
      state = (await answer(state.execution_id, toResults(state))).result;
    }
    expect(calls.size).toBe(8);
    expect(state.stdout).toBe('1 2 3 4 5 6 7 8\n');
  });

  test('finds its tools with their schemas, and gets text, structures and failures as they are', async () => {
    const code = `
print(json.dumps(ask(op="catalog")))
print(call("add", a=1, b=2), call("add", a=1, b=3), call("fail"), call("nothing"), call("add", server="github"))`;
    const first = await run(code);
    const { execution_id: id } = first.result;
    const second = await answer(id, [{ id: first.result.tool_calls[0]?.id ?? '', value: { sum: [3, null] } }]);
    const third = await answer(id, [{ id: second.result.tool_calls[0]?.id ?? '', value: 'four' }]);
    const end = await answer(id, [{ id: third.result.tool_calls[0]?.id ?? '', error: 'It is broken.' }]);
    const [catalog = '', values = ''] = end.result.stdout.split('\n');
    expect(JSON.parse(catalog)).toMatchObject({
      ok: true,
      servers: [
        { name: 'client', tools: [{ name: 'add', python: 'add', input_schema: ADD.inputSchema }, { name: 'fail' }] },
      ],
    });
    expect(values).toContain("[{'type': 'json', 'value': {'sum': [3, None]}}] [{'type': 'text', 'text': 'four'}]");
    expect(values).toContain("{'code': 'upstream', 'message': 'It is broken.'");
    expect(values).toContain("{'code': 'bad_arguments', 'message': 'There is no tool \"nothing\" of client.'");
    expect(values).toContain("{'code': 'denied', 'message': 'There is no server \"github\" for this execution.'");
    expect(end.result.tool_calls.map((call) => (call as unknown as { status: string }).status)).toEqual([
      ...['ok', 'ok', 'upstream', 'bad_arguments', 'denied'],
    ]);
  });

  test('has a time limit that stands still while it waits for its caller', async () => {
    const waiting = await run('print(call("add", a=1, b=2)[0]["value"])', { args: { timeout_s: 1 } });
    const end = await answer(waiting.result.execution_id, toResults(waiting.result));
    expect(end.result).toMatchObject({ status: 'ok', stdout: '3\n', waited_ms: expect.any(Number) });
  });

  test('runs in a context, whose cells have a token each', async () => {
    const cell = { args: { context: 'c', session_id: 'cells' } };
    const waiting = await run('old = os.environ["GLOVEBOX_TOOLS_TOKEN"]\nx = call("add", a=1, b=2)[0]["value"]', cell);
    expect((await answer(waiting.result.execution_id, toResults(waiting.result))).result.status).toBe('ok');
    const code = 'print(x, ask(op="catalog", token=old)["error"]["code"], call("fail")["message"])';
    const next = await run(code, cell);
    const end = await answer(next.result.execution_id, [{ id: next.result.tool_calls[0]?.id ?? '', error: 'no' }]);
    expect(end.result.stdout).toBe('3 denied no\n');
    const plain = await post(server, '/execute', {
      name: 'execute_python',
      arguments: { code: 'print(os.environ.get("GLOVEBOX_TOOLS_TOKEN"))', context: 'c', session_id: 'cells' },
    });
    expect((await read(plain)).result.stdout).toBe('None\n');
  });

  test('is followed by a stream, which tells of each round and goes on', async () => {
    const response = await post(server, '/execute/stream', {
      name: 'execute_python',
      arguments: { code: `${DOOR}print(call("add", a=1, b=2)[0]["value"])` },
      client_tools: [ADD],
    });
    const parser = createParser();
    const seen: string[] = [];
    let result: State | undefined;
    for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      for (const { event, data } of parser.take(text)) {
        seen.push(event);
        if (event === 'tool_call_required') {
          const state = JSON.parse(data) as State;
          void give(state.execution_id, toResults(state));
        }
        if (event === 'result') result = (JSON.parse(data) as Answer).result;
      }
    }
    expect(result).toMatchObject({ status: 'ok', stdout: '3\n' });
    const ofTools = seen.filter((event) => event.startsWith('tool_call'));
    expect(ofTools).toEqual(['tool_call', 'tool_call_required', 'tool_call']);
  });
});

describe('results', () => {
  test('are taken once, and the second to send them is told', async () => {
    const waiting = await run('print(call("add", a=1, b=2)[0]["value"])');
    const { execution_id: id } = waiting.result;
    const results = toResults(waiting.result);
    const both = await Promise.all([answer(id, results), answer(id, results)]);
    expect(both.map(({ result }) => result.stdout)).toEqual(['3\n', '3\n']);
    const refused = both.filter(({ not_taken }) => not_taken !== undefined);
    expect(refused).toHaveLength(1);
    expect(refused[0]?.not_taken).toEqual([{ id: results[0]?.id, reason: 'It has a result already.' }]);
    const late = await answer(id, results);
    expect(late).toMatchObject({ result: { status: 'ok' }, not_taken: [{ reason: 'It has a result already.' }] });
  });

  test('of an unknown call are refused, and an empty list asks again', async () => {
    const waiting = await run('print(call("add", a=1, b=2)[0]["value"])');
    const { execution_id: id } = waiting.result;
    const unknown = [...toResults(waiting.result), { id: 'call_none', value: 1 }];
    expect(await refusal(await give(id, unknown))).toMatchObject({ status: 400, code: 'invalid_input' });
    expect(await answer(id, [])).toEqual(waiting);
    expect((await answer(id, toResults(waiting.result))).result.stdout).toBe('3\n');
  });

  test.each([
    ['neither a value nor an error', { id: 'call_1' }],
    ['both', { id: 'call_1', value: 1, error: 'no' }],
    ['an unknown field', { id: 'call_1', value: 1, extra: 1 }],
  ])('with %s are refused', async (_what, result) => {
    const waiting = await run('call("fail")');
    const { execution_id: id } = waiting.result;
    expect(await refusal(await give(id, [result]))).toMatchObject({ status: 400, code: 'invalid_input' });
    await fetch(`${server.url}/executions/${id}`, { method: 'DELETE' });
  });

  test('for an execution that nobody knows are refused with what to do', async () => {
    const { status, code, hint } = await refusal(await give('exe_AAAAAAAAAAAA', []));
    expect({ status, code }).toEqual({ status: 404, code: 'execution_not_found' });
    expect(hint).toContain('Run the code again');
  });

  test('are refused by name after the server was killed while the code waited', async () => {
    const first = await startServer();
    const waiting = await run('call("fail")', { at: first, args: { session_id: 'kept' } });
    await first.kill();
    await using second = await startServer({ stateDir: first.stateDir, port: first.port });
    const refused = await refusal(await give(waiting.result.execution_id, [], second));
    expect(refused).toMatchObject({ status: 404, code: 'execution_not_found' });
    expect(refused.hint).toContain('the server was started anew meanwhile');
    const next = await run('print(1)', { at: second, args: { session_id: 'kept' } });
    expect(next.result).toMatchObject({ status: 'ok', stdout: '1\n' });
  });
});

describe('an execution that waits for its caller', () => {
  test('is read by GET, while it waits and when it has ended', async () => {
    const waiting = await run('print(call("add", a=1, b=2)[0]["value"])');
    const { execution_id: id } = waiting.result;
    const read = async () => await (await fetch(`${server.url}/executions/${id}`)).json();
    expect(await read()).toEqual(waiting.result);
    const end = await answer(id, toResults(waiting.result));
    expect(await read()).toEqual(end.result);
  });

  test('is ended by DELETE, and keeps its session', async () => {
    const waiting = await run('call("fail")');
    const { execution_id: id, session_id } = waiting.result;
    const deleted = await fetch(`${server.url}/executions/${id}`, { method: 'DELETE' });
    expect(await deleted.json()).toMatchObject({ execution_id: id, status: 'cancelled' });
    const late = await answer(id, [{ id: waiting.result.tool_calls[0]?.id ?? '', value: 1 }]);
    expect(late).toMatchObject({
      result: { status: 'cancelled' },
      not_taken: [{ reason: expect.stringContaining('any more') }],
    });
    const next = await run('print(2)', { args: { session_id } });
    expect(next.result.stdout).toBe('2\n');
  });

  test('ends with its session', async () => {
    const waiting = await run('call("fail")', { args: { session_id: 'closed' } });
    expect((await closeSession(server, 'closed')).status).toBe(204);
    const end = await answer(waiting.result.execution_id, []);
    expect(end.result.status).not.toBe('tool_call_required');
  });

  test('ends when its caller goes before it has been asked for anything', async () => {
    const gone = new AbortController();
    const body = {
      name: 'execute_python',
      arguments: { code: 'import time\nopen("begun", "w")\ntime.sleep(60)', session_id: 'left' },
      client_tools: [ADD],
    };
    const calling = post(server, '/execute', body, { signal: gone.signal });
    await expect.poll(async () => (await fetch(`${server.url}/sessions/left/files/begun`)).status).toBe(200);
    gone.abort();
    await expect(calling).rejects.toThrow();
    const running = async () => {
      const response = await fetch(`${server.url}/sessions/left`);
      return ((await response.json()) as { running: number }).running;
    };
    await expect.poll(running).toBe(0);
  });
});

describe('client_tools', () => {
  test.each<[string, unknown]>([
    ['no list', {}],
    ['an empty list', []],
    ['a bad name', [{ name: 'a b' }]],
    ['two of one name', [{ name: 'a' }, { name: 'a' }]],
    ['an unknown field', [{ name: 'a', schema: {} }]],
  ])('with %s are refused', async (_what, tools) => {
    const refused = await refusal(await send('print(1)', { tools }));
    expect(refused).toMatchObject({ status: 400, code: 'invalid_input' });
    expect(refused.message).toContain('client_tools');
  });

  test('are refused in the background, and for a tool that runs no code', async () => {
    const inBackground = await refusal(await send('print(1)', { args: { background: true } }));
    expect(inBackground).toMatchObject({ status: 400, hint: expect.stringContaining('client_tools') });
    const body = { name: 'list_sessions', arguments: {}, client_tools: [ADD] };
    expect(await refusal(await post(server, '/execute', body))).toMatchObject({ status: 400 });
  });
});

test('code that was given no tools has no token', async () => {
  const body = {
    name: 'execute_python',
    arguments: { code: 'import os; print("GLOVEBOX_TOOLS_TOKEN" in os.environ)' },
  };
  expect((await read(await post(server, '/execute', body))).result.stdout).toBe('False\n');
});

test('a process that an execution leaves behind has no access to tools any more', async () => {
  const code = `
print(call("add", a=1, b=2))
with open("token", "w") as file: file.write(os.environ["GLOVEBOX_TOOLS_TOKEN"])`;
  const waiting = await run(code, { args: { session_id: 'daemon' } });
  await answer(waiting.result.execution_id, toResults(waiting.result));
  const later = await run('print(ask(op="catalog", token=open("token").read()))', { args: { session_id: 'daemon' } });
  expect(later.result.stdout).toContain("'code': 'denied'");
  const elsewhere = await run('open("mine", "w").write(os.environ["GLOVEBOX_TOOLS_TOKEN"])\ncall("fail")');
  const token = await (await fetch(`${server.url}/sessions/${elsewhere.session_id}/files/mine`)).text();
  const stolen = await run(`print(ask(op="catalog", token=${JSON.stringify(token)}))`, {
    args: { session_id: 'thief' },
  });
  expect(stolen.result.stdout).toContain("'code': 'denied'");
  await fetch(`${server.url}/executions/${elsewhere.result.execution_id}`, { method: 'DELETE' });
});
