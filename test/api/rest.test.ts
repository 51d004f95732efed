import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  callTool,
  closeSession,
  type ErrorAnswer,
  openSession,
  post,
  runPython,
  userOf,
} from '../support/rest-client.ts';
import { containersOf, runShell, type Server, startServer } from '../support/server.ts';
import { TOOL_NAMES } from '../support/tool-names.ts';

let server: Server;
beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const getJson = async (path: string) => (await fetch(`${server.url}${path}`)).json() as Promise<unknown>;
const getStatus = async (path: string) => (await fetch(`${server.url}${path}`)).status;

describe('the curl lines of the README', () => {
  /** Exactly as a person types it, but for the port. */
  const curl = async (line: string) => {
    const { code, stdout } = await runShell(`${line.replace('localhost:8000', `localhost:${server.port}`)} -sS`);
    expect(code).toBe(0);
    return stdout;
  };

  test('GET /health says that code can run', async () => {
    expect(JSON.parse(await curl('curl http://localhost:8000/health'))).toMatchObject({ status: 'ok' });
  });

  test('GET /tools lists the tools', async () => {
    const { tools } = JSON.parse(await curl('curl http://localhost:8000/tools'));
    expect(tools.map(({ name }: { name: string }) => name)).toEqual(TOOL_NAMES);
  });

  test('POST /execute runs Python', async () => {
    const answer = await curl(
      `curl -X POST http://localhost:8000/execute -H "Content-Type: application/json" -d '{"name":"execute_python","arguments":{"code":"print(\\"Hello from MCP!\\")"}}'`,
    );
    expect(JSON.parse(answer)).toMatchObject({
      name: 'execute_python',
      session_id: 'default',
      result: { status: 'ok', stdout: 'Hello from MCP!\n', exit_code: 0 },
    });
  });

  test('POST /execute/stream tells the count', async () => {
    const answer = await curl(
      `curl -N -X POST http://localhost:8000/execute/stream -H "Content-Type: application/json" -d '{"name":"execute_python","arguments":{"code":"import time\\nfor i in range(5):\\n    print(f\\"Count: {i}\\")\\n    time.sleep(1)"}}'`,
    );
    const events = [...answer.matchAll(/^event: (\w+)$/gm)].map(([, name]) => name);
    expect(events).toEqual(['session', 'stdout', 'stdout', 'stdout', 'stdout', 'stdout', 'result']);
    expect(answer.match(/Count: \d/g)).toEqual(expect.arrayContaining(['Count: 0', 'Count: 4']));
  });

  test('POST /execute lists the packages', async () => {
    const answer = await curl(
      `curl -X POST http://localhost:8000/execute -H "Content-Type: application/json" -d '{"name":"list_installed_packages","arguments":{}}'`,
    );
    const { result } = JSON.parse(answer);
    expect(result.packages).toContainEqual({ name: 'pip', version: expect.any(String), source: 'image' });
  });
});

describe('what the server says of itself', () => {
  test('/health names the engine, the image, sessions and pool', async () => {
    expect(await getJson('/health')).toEqual({
      status: 'ok',
      engine: { name: expect.any(String), version: expect.stringMatching(/^\d+\./) },
      image: expect.stringMatching(/^glovebox-sandbox:slim-/),
      sessions: expect.any(Number),
      adopting: 0,
      preload: { bytes: 0, limit: 512 * 1024 * 1024, sandboxes: 0, failures: 0 },
      pool: { size: 2, ready: expect.any(Number) },
      executions: { running: 0, waiting: 0, places: expect.any(Number) },
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
  });

  test('/health?deep=1 runs code in a sandbox that nobody has, and leaves no session', async () => {
    const before = (await getJson('/sessions')) as { sessions: unknown[] };
    expect(await getJson('/health?deep=1')).toMatchObject({ status: 'ok', sessions: before.sessions.length });
  });

  test('/tools has the schemas of what goes in and comes out', async () => {
    const { tools } = (await getJson('/tools')) as { tools: Record<string, Record<string, unknown>>[] };
    for (const tool of tools) {
      expect(Object.keys(tool)).toEqual(expect.arrayContaining(['name', 'description', 'inputSchema', 'outputSchema']));
      expect(tool['inputSchema']).toMatchObject({ type: 'object', additionalProperties: false });
      const what = { list_sessions: 'sessions', send_input: 'execution_id', send_signal: 'execution_id' };
      const field = new Map(Object.entries(what)).get(String(tool['name'])) ?? 'session_id';
      expect(tool['outputSchema']).toMatchObject({ type: 'object', required: expect.arrayContaining([field]) });
    }
    const properties = tools[0]?.['inputSchema']?.['properties'] as object;
    expect(Object.keys(properties)).toEqual([
      'code',
      'session_id',
      'context',
      'reset_context',
      'timeout_s',
      'background',
      'stdin',
      'stdin_open',
      'args',
      'env',
    ]);
  });
});

describe('/sessions', () => {
  test('makes, lists, inspects and closes a session; closing removes its container', async () => {
    const response = await post(server, '/sessions', '');
    expect(response.status).toBe(201);
    const made = (await response.json()) as { session_id: string };
    expect(made.session_id).toMatch(/^gbx_[\w-]{22,}$/);
    expect(response.headers.get('location')).toBe(`/sessions/${made.session_id}`);
    const uid = await userOf(server, made.session_id);

    const inspected = await getJson(`/sessions/${made.session_id}`);
    expect(inspected).toMatchObject({ session_id: made.session_id, running: 0, expires_at: expect.any(String) });
    expect(await getJson('/sessions')).toMatchObject({ sessions: expect.arrayContaining([inspected]) });

    expect((await closeSession(server, made.session_id)).status).toBe(204);
    expect(await getStatus(`/sessions/${made.session_id}`)).toBe(404);
    const users = (await containersOf(server)).map(({ Labels }) => Labels['glovebox.uid']);
    expect(users).not.toContain(String(uid));
  });

  test('a session expires its idle time after its last use', async () => {
    const id = await openSession(server);
    const { last_used_at, expires_at } = (await getJson(`/sessions/${id}`)) as Record<string, string>;
    expect(Date.parse(expires_at ?? '') - Date.parse(last_used_at ?? '')).toBe(1_800_000);
    await closeSession(server, id);
  });

  test('closing ends what runs in the session, and tells the call so', async () => {
    const id = await openSession(server);
    const running = post(server, '/execute', {
      name: 'execute_python',
      arguments: { code: 'import time; open("begun", "w"); time.sleep(60)', session_id: id },
    });
    const begun = { code: 'import os; print(os.path.exists("begun"))', session_id: id };
    await expect
      .poll(async () => (await callTool(server, 'execute_python', begun)) as object, { timeout: 10_000 })
      .toMatchObject({ stdout: 'True\n' });
    expect(await getJson(`/sessions/${id}`)).toMatchObject({ running: 1 });
    expect((await closeSession(server, id)).status).toBe(204);
    const answer = (await (await running).json()) as { result?: { status: string } } & Partial<ErrorAnswer>;
    expect(answer.result?.status ?? answer.error?.code).toMatch(/^(cancelled|crashed|session_not_found)$/);
  });

  test('a name is made by its first use and is the same session ever after', async () => {
    const name = `named-${randomUUID()}`;
    const first = await runPython(server, 'open("kept.txt", "w").write("kept")', { session_id: name });
    expect(first).toMatchObject({ session_id: name, session_created: true });
    const second = await runPython(server, 'print(open("kept.txt").read())', { session_id: name });
    expect(second).toMatchObject({ session_id: name, stdout: 'kept\n' });
    expect(second).not.toHaveProperty('session_created');
    expect(await openSession(server, name)).toBe(name);
    await closeSession(server, name);
  });
});

describe('which session a call gets', () => {
  const whichAnswers = async (body: object, header?: string) => {
    const headers = header === undefined ? {} : { 'x-session-id': header };
    const response = await post(server, '/execute', { name: 'execute_python', ...body }, { headers });
    const { session_id, result } = (await response.json()) as { session_id: string; result: { session_id: string } };
    expect(result.session_id).toBe(session_id);
    return session_id;
  };
  const code = 'pass';

  test('its argument, else the field beside the arguments, else the header, else "default"', async () => {
    const names = { argument: 'by-argument', beside: 'by-field', header: 'by-header' };
    const args = { code, session_id: names.argument };
    expect(await whichAnswers({ arguments: args, session_id: names.beside }, names.header)).toBe(names.argument);
    expect(await whichAnswers({ arguments: { code }, session_id: names.beside }, names.header)).toBe(names.beside);
    expect(await whichAnswers({ arguments: { code } }, names.header)).toBe(names.header);
    expect(await whichAnswers({ arguments: { code } })).toBe('default');
    await Promise.all(Object.values(names).map((name) => closeSession(server, name)));
  });

  test('GLOVEBOX_DEFAULT_SESSION=new gives each call that names none a session of its own', async () => {
    await using other = await startServer({ env: { GLOVEBOX_DEFAULT_SESSION: 'new', GLOVEBOX_POOL_SIZE: '0' } });
    const results = [await runPython(other, code), await runPython(other, code)];
    expect(results).toMatchObject([{ session_created: true }, { session_created: true }]);
    expect(results[0]?.session_id).toMatch(/^gbx_/);
    expect(results[0]?.session_id).not.toBe(results[1]?.session_id);
  });
});

describe('what sessions share', () => {
  test('files persist between the calls of a session and are not in another', async () => {
    const [one, other] = [await openSession(server), await openSession(server)];
    await runPython(server, 'open("/workspace/mine.txt", "w").write("x"); open("/tmp/t", "w")', { session_id: one });
    const look = 'import os; print(os.listdir("/workspace"), "t" in os.listdir("/tmp"))';
    expect((await runPython(server, look, { session_id: one })).stdout).toBe("['mine.txt'] True\n");
    expect((await runPython(server, look, { session_id: other })).stdout).toBe('[] False\n');
    await Promise.all([one, other].map((id) => closeSession(server, id)));
  });

  test("code runs as a user of its session's own: neither root nor the container's main user", async () => {
    const [one, other] = [await openSession(server), await openSession(server)];
    const [first, again, second] = [await userOf(server, one), await userOf(server, one), await userOf(server, other)];
    expect(first).toBe(again);
    expect(first).not.toBe(second);
    for (const uid of [first, second]) {
      expect(uid).toBeGreaterThanOrEqual(10_000);
      expect(uid).toBeLessThan(60_000);
    }
    await Promise.all([one, other].map((id) => closeSession(server, id)));
  });

  test('two runs of a session are two processes that share no globals, modules or environment', async () => {
    const code = [
      'import os, sys, json, builtins',
      'print(json.dumps(["leak" in globals(), hasattr(builtins, "leak"), hasattr(sys, "leak"), "LEAK" in os.environ]))',
      'leak = builtins.leak = sys.leak = 1; os.environ["LEAK"] = "1"; os.chdir("/")',
      'print(os.getpid(), file=sys.stderr)',
    ].join('\n');
    const [first, second] = [await runPython(server, code), await runPython(server, code)];
    expect(first.stdout).toBe('[false, false, false, false]\n');
    expect(second.stdout).toBe(first.stdout);
    expect(first.stderr).not.toBe(second.stderr);
    expect((await runPython(server, 'import os; print(os.getcwd())')).stdout).toBe('/workspace\n');
  });

  test('runs of one session go on side by side', async () => {
    const id = await openSession(server);
    const wait = (own: string, other: string) =>
      runPython(
        server,
        `import os, time\nopen("${own}", "w")\nwhile not os.path.exists("${other}"): time.sleep(0.01)\nprint("met")`,
        { session_id: id, timeout_s: 20 },
      );
    const results = await Promise.all([wait('a', 'b'), wait('b', 'a')]);
    expect(results.map(({ stdout }) => stdout)).toEqual(['met\n', 'met\n']);
    await closeSession(server, id);
  });
});
