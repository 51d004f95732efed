import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectUsable, openVictim } from '../hostile/setup.ts';
import { LEGACY_HTTP, MODERN_HTTP, textOf } from '../support/mcp-clients.ts';
import {
  callTool,
  closeSession,
  type ErrorAnswer,
  type Execution,
  openSession,
  post,
  runPython,
  streamPython,
  unusedName,
  userOf,
} from '../support/rest-client.ts';
import { containerOfUser, containersOf, processesOf, type Server, startServer } from '../support/server.ts';

interface Followed extends Execution {
  started_at: string;
  next: { stdout_offset: number; stderr_offset: number };
}
interface Listed {
  execution_id: string;
  status: string;
  running: boolean;
}

let server: Server;
beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_OUTPUT_LIMIT: '2000', GLOVEBOX_OUTPUT_KEEP_LIMIT: '50000' } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const start = (code: string, args: Record<string, unknown> = {}, target: Server = server) =>
  runPython(target, code, { background: true, ...args });
const ask = (id: string, query = '', method = 'GET') => fetch(`${server.url}/executions/${id}${query}`, { method });
const follow = async (id: string, query = '', method = 'GET') => {
  const response = await ask(id, query, method);
  const body = await response.json();
  expect(response.status, JSON.stringify(body)).toBe(200);
  return body as Followed;
};
const waitFor = (id: string) => follow(id, '?wait_s=20');
const jobsOf = async (session: string) => {
  const response = await fetch(`${server.url}/sessions/${session}/executions`);
  return ((await response.json()) as { executions: Listed[] }).executions;
};
/** Python that goes on once the session has a file of that name. */
const waitForFile = (name: string) =>
  `import os, time\nwhile not os.path.exists("/workspace/${name}"): time.sleep(0.01)`;
const makeFile = (session_id: string, name: string) =>
  runPython(server, `open("/workspace/${name}", "w")`, { session_id });
const refusal = async (response: Response) => {
  const { error } = (await response.json()) as ErrorAnswer;
  return { status: response.status, ...error };
};

describe('GET /executions/{id}/events', () => {
  const eventsOf = async (id: string, last?: string) => {
    const headers: Record<string, string> = last ? { 'last-event-id': last } : {};
    const response = await fetch(`${server.url}/executions/${id}/events`, { headers });
    return { status: response.status, text: await response.text() };
  };
  const words = (text: string, event: string) =>
    [...text.matchAll(new RegExp(`^event: ${event}\\ndata: (.*)$`, 'gm'))].map(([, data]) => JSON.parse(data ?? ''));

  test('tells the output as it comes and then the result; a reader that comes back goes on where it was', async () => {
    const session_id = await openSession(server);
    const code = `print("one", flush=True)\n${waitForFile('go')}\nimport sys\nprint("x" * 5000)\nprint("two", file=sys.stderr)`;
    const { execution_id } = await start(code, { session_id });
    const response = await fetch(`${server.url}/executions/${execution_id}/events`);
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      if (text.includes('one')) break;
    }
    const last = /^id: (\S+)$/m.exec(text)?.[1];
    expect(last).toBe('4-0');
    await makeFile(session_id, 'go');
    const rest = await eventsOf(execution_id, last);
    const said = words(rest.text, 'stdout').map(({ text: piece }) => piece);
    expect(said.join('')).toBe(`${'x'.repeat(5000)}\n`);
    expect(words(rest.text, 'stderr')).toEqual([{ text: 'two\n' }]);
    expect(words(rest.text, 'result')).toMatchObject([{ status: 'ok', execution_id }]);
    expect(await eventsOf(execution_id, 'end')).toEqual({ status: 204, text: '' });
    expect((await eventsOf('exe_unknown')).status).toBe(404);
  });
});

describe('a background execution', () => {
  test('is queued while its session has no place for it, as calls in the foreground are', async () => {
    const session_id = await openSession(server);
    const held = await Promise.all(Array.from({ length: 4 }, () => start(waitForFile('go'), { session_id })));
    await expect
      .poll(async () => Promise.all(held.map(async ({ execution_id }) => (await follow(execution_id)).status)))
      .toEqual(['running', 'running', 'running', 'running']);
    const { execution_id } = await start('print("at last")', { session_id });
    expect(await follow(execution_id)).toMatchObject({ status: 'queued', duration_ms: 0, stdout: '' });
    const statuses = async () => (await jobsOf(session_id)).map(({ status, running }) => ({ status, running }));
    const running = { status: 'running', running: true };
    expect(await statuses()).toEqual([running, running, running, running, { status: 'queued', running: true }]);
    const told: unknown[] = [];
    for await (const { event, data } of streamPython(server, { code: 'print(2)', session_id })) {
      if (event === 'progress') {
        told.push(data);
        await fetch(`${server.url}/sessions/${session_id}/files/go`, { method: 'PUT', body: '' });
      }
      if (event === 'result') expect(data).toMatchObject({ result: { status: 'ok', queued_ms: expect.any(Number) } });
    }
    expect(told).toEqual([
      { message: 'Waiting for a place in this session; 1 of your calls are ahead.', status: 'queued' },
    ]);
    expect(await waitFor(execution_id)).toMatchObject({
      status: 'ok',
      stdout: 'at last\n',
      queued_ms: expect.any(Number),
    });
    expect((await statuses()).at(-1)).toEqual({ status: 'ok', running: false });
  });

  test('is answered at once, goes on without its caller, and tells its result to who waits for the end', async () => {
    const session_id = await openSession(server);
    const client = new AbortController();
    const code = `print("begun")\n${waitForFile('go')}\nprint("done")\n6 * 7`;
    const begun = await runPython(server, code, { background: true, session_id }, { signal: client.signal });
    client.abort();
    expect(begun).toMatchObject({ session_id, status: 'running', exit_code: null, stdout: '' });
    const id = begun.execution_id;
    await expect.poll(async () => (await follow(id)).stdout, { timeout: 5000 }).toBe('begun\n');
    const waiting = waitFor(id);
    await makeFile(session_id, 'go');
    const ended = await waiting;
    expect(ended).toMatchObject({ execution_id: id, status: 'ok', exit_code: 0, stdout: 'begun\ndone\n' });
    expect(ended.results).toEqual([{ text: '42' }]);
    expect(ended.duration_ms).toBeGreaterThan(0);
  });

  test('is read from an offset, never by half a character, and the parts add up to the whole', async () => {
    const code = [
      'import os, time',
      'def wait(name):',
      '    while not os.path.exists("/workspace/" + name): time.sleep(0.01)',
      'text = "añ日🎉" * 500',
      'data = text.encode()',
      'os.write(1, data[:3002])',
      'wait("one")',
      'os.write(1, data[3002:]); os.write(2, b"err")',
      'wait("two")',
    ].join('\n');
    const session_id = await openSession(server);
    const { execution_id: id } = await start(code, { session_id });
    let [text, stdout, stderr, errors] = ['', 0, 0, ''];
    const read = async () => {
      const part = await follow(id, `?stdout_offset=${stdout}&stderr_offset=${stderr}`);
      [stdout, stderr] = [part.next.stdout_offset, part.next.stderr_offset];
      [text, errors] = [text + part.stdout, errors + part.stderr];
      return part.status;
    };
    const until = (bytes: number) =>
      expect.poll(async () => [await read(), stdout], { timeout: 5000 }).toEqual(['running', bytes]);
    // 3 002 bytes end in the middle of a character.
    await until(3001);
    await makeFile(session_id, 'one');
    await until(5000);
    await makeFile(session_id, 'two');
    await expect.poll(async () => (await read()) === 'ok' && errors, { timeout: 5000 }).toBe('err');
    expect(text).toBe('añ日🎉'.repeat(500));
  });

  test('that printed more than is kept: what is there can be read, then what is left out is named, then the tail', async () => {
    const { execution_id: id } = await start('for n in range(10_000): print(f"{n:05}")');
    await waitFor(id);
    let [text, offset, last] = ['', 0, -1];
    while (offset !== last) {
      const { stdout, next, truncated } = await follow(id, `?stdout_offset=${offset}`);
      [text, last, offset] = [text + stdout, offset, next.stdout_offset];
      expect(truncated?.stdout?.bytes).toBe(offset < 60_000 ? 60_000 - offset : undefined);
    }
    expect(text).toMatch(/^00000\n.*\n08332\n08\n… 9000 bytes left out …\n.*\n09999\n$/s);
    expect(text.slice(0, 49_998)).toBe(
      Array.from({ length: 8333 }, (_, n) => `${String(n).padStart(5, '0')}\n`).join(''),
    );
  });

  test('whose file is gone, or found no room on the disk, still has the output that a result carries', async () => {
    const removed = await start('import shutil\nprint(1)\nshutil.rmtree("/workspace/.glovebox")\nprint(2)');
    expect(await waitFor(removed.execution_id)).toMatchObject({ status: 'ok', stdout: '1\n2\n' });
    const session_id = await openSession(server);
    const fill =
      'try:\n    for n in range(10_000): open(f"fill{n}", "wb").write(b"x" * (1 << 22))\nexcept OSError as e: pass';
    const filled = await start(`${fill}\nprint("full")`, { session_id });
    expect(await waitFor(filled.execution_id)).toMatchObject({ status: 'ok', stdout: 'full\n' });
    await closeSession(server, session_id);
  });

  test('of a new session is new only in the first answer', async () => {
    const begun = await start('pass', { session_id: unusedName('new-one') });
    expect(begun.session_created).toBe(true);
    expect(await waitFor(begun.execution_id)).not.toHaveProperty('session_created');
  });

  test('ends at its own time limit, with where it was', async () => {
    const { execution_id: id } = await start('print("on")\nimport time\ntime.sleep(60)', { timeout_s: 0.5 });
    expect(await waitFor(id)).toMatchObject({
      status: 'timeout',
      stdout: 'on\n',
      limit: { name: 'timeout_s', value: 0.5 },
      termination: { by: 'interrupt', stacks: [{ thread: 'MainThread' }] },
    });
  });

  test('has the longest time limit by default', async () => {
    await using hasty = await startServer({ env: { GLOVEBOX_EXEC_TIMEOUT_S: '0.4', GLOVEBOX_MAX_TIMEOUT_S: '1.5' } });
    const code = 'import time\ntime.sleep(60)';
    expect(await runPython(hasty, code)).toMatchObject({ status: 'timeout', limit: { value: 0.4 } });
    const { execution_id: id } = await start(code, {}, hasty);
    const ended = await callTool(hasty, 'get_execution', { execution_id: id, wait_s: 20 });
    expect(ended).toMatchObject({ status: 'timeout', limit: { value: 1.5 } });
  });

  test('that is cancelled ends with its processes and what it had printed; once more changes nothing', async () => {
    const victim = await openVictim(server);
    const code = 'import subprocess, time\nprint("on")\nsubprocess.Popen(["sleep", "1236"])\ntime.sleep(60)';
    const { execution_id: id } = await start(code, { session_id: victim.id });
    await expect.poll(victim.leftovers, { timeout: 5000 }).toContain('sleep 1236');
    const cancelled = await follow(id, '', 'DELETE');
    expect(cancelled).toMatchObject({ status: 'cancelled', exit_code: null, stdout: 'on\n' });
    expect(await follow(id, '', 'DELETE')).toEqual(cancelled);
    await expect.poll(victim.leftovers, { timeout: 5000 }).toEqual([]);
    await expectUsable(victim);
  });

  test('runs in a context too, which goes on after it', async () => {
    const session_id = await openSession(server);
    const { execution_id: id } = await start('y = 11', { context: 'work', session_id });
    expect(await runPython(server, 'y + 1', { context: 'work', session_id })).toMatchObject({
      results: [{ text: '12' }],
    });
    expect(await waitFor(id)).toMatchObject({ status: 'ok', context: { name: 'work', created: true } });
  });

  test('can be asked for while the sandbox has no process to spare', async () => {
    const session_id = await openSession(server);
    const code = `${waitForFile('full')}\nprint("seen")\nos.kill(os.getpid(), 9)`;
    const fork =
      'try:\n    while os.fork(): pass\n    time.sleep(60)\nexcept OSError: open("/workspace/full", "w")\ntime.sleep(60)';
    const { execution_id: id } = await start(`import os, time\n${fork}`, { session_id, timeout_s: 3 });
    await start(code, { session_id });
    expect((await follow(id)).status).toBe('running');
    expect(await waitFor(id)).toMatchObject({ status: 'timeout' });
    await closeSession(server, session_id);
  });
});

describe('the background executions of a session', () => {
  test('are listed, keep it from expiring, and end with it', async () => {
    await using brief = await startServer({ env: { GLOVEBOX_IDLE_TTL_S: '2' } });
    const session_id = await openSession(brief);
    const uid = await userOf(brief, session_id);
    const container = await containerOfUser(brief, uid);
    const { execution_id: id } = await start('import time\ntime.sleep(4.5)', { session_id }, brief);
    const jobs = async () => (await (await fetch(`${brief.url}/sessions/${session_id}/executions`)).json()) as unknown;
    expect(await jobs()).toMatchObject({ executions: [{ execution_id: id, running: true }] });
    const ended = await callTool(brief, 'get_execution', { execution_id: id, wait_s: 20 });
    expect(ended).toMatchObject({ status: 'ok' });
    const second = await start('import subprocess\nsubprocess.run(["sleep", "1237"])', { session_id }, brief);
    await expect.poll(() => processesOf(container, uid), { timeout: 5000 }).toContain('sleep 1237');
    await closeSession(brief, session_id);
    expect((await containersOf(brief)).map(({ Id }) => Id)).not.toContain(container.id);
    expect((await fetch(`${brief.url}/executions/${second.execution_id}`)).status).toBe(404);
  });

  test('are 32 at most; the next is refused as busy, and a cancelled one makes room', async () => {
    const session_id = await openSession(server);
    const code = 'import time\ntime.sleep(60)';
    const begun = await Promise.all(Array.from({ length: 32 }, () => start(code, { session_id })));
    const call = { name: 'execute_python', arguments: { code, session_id, background: true } };
    expect(await refusal(await post(server, '/execute', call))).toMatchObject({
      status: 409,
      code: 'session_busy',
      message: expect.stringContaining('32 background'),
      hint: expect.stringContaining('cancel'),
    });
    expect((await jobsOf(session_id)).filter(({ running }) => running)).toHaveLength(32);
    // One that waits for its turn is cancelled without having run.
    const last = begun.at(-1)?.execution_id ?? '';
    expect(await follow(last, '', 'DELETE')).toMatchObject({ status: 'cancelled', stdout: '' });
    expect((await post(server, '/execute', call)).status).toBe(200);
    const waiting = waitFor(begun[0]?.execution_id ?? '').catch(() => undefined);
    await closeSession(server, session_id);
    await waiting;
    expect((await ask(last)).status).toBe(404);
  });
});

test.each([
  ['wait_s=51', 'wait_s'],
  ['wait_s=-1', 'wait_s'],
  ['wait_s=soon', 'wait_s'],
  ['stdout_offset=1.5', 'stdout_offset'],
])('?%s is refused by name', async (query, name) => {
  const { execution_id: id } = await start('pass');
  const refused = await refusal(await ask(id, `?${query}`));
  expect(refused).toMatchObject({ status: 400, code: 'invalid_input', message: expect.stringContaining(`"${name}"`) });
});

test('an unknown execution, and one of the foreground, are not found', async () => {
  const { execution_id } = await runPython(server, 'pass');
  for (const id of ['exe_unknown', execution_id]) {
    for (const method of ['GET', 'DELETE']) {
      const refused = await refusal(await ask(id, '', method));
      expect(refused).toMatchObject({ status: 404, code: 'execution_not_found', hint: expect.stringMatching(/\w/) });
    }
  }
});

test.each([...LEGACY_HTTP.slice(0, 1), ...MODERN_HTTP.slice(0, 1)])(
  'a client (%s) begins, follows and cancels by tools, and the text says what to pass next',
  async (_name, connect) => {
    await using client = await connect(server);
    const code = 'print("on")\nimport time\ntime.sleep(60)';
    const begun = await client.call('execute_python', { code, background: true });
    const id = (begun.structuredContent as unknown as Execution).execution_id;
    expect(textOf(begun)).toContain(`[running] in the background as ${id}`);
    const get = (args = {}) => client.call('get_execution', { execution_id: id, ...args });
    await expect.poll(async () => textOf(await get()), { timeout: 5000 }).toMatch(/^on\n/);
    const later = await get({ stdout_offset: 3, wait_s: 0.1 });
    expect(textOf(later)).not.toMatch(/^on/);
    expect(textOf(later)).toContain('[next] stdout_offset 3, stderr_offset 0');
    const cancelled = await client.call('cancel_execution', { execution_id: id });
    expect(cancelled.structuredContent).toMatchObject({ status: 'cancelled', stdout: 'on\n' });
    const unknown = await client.call('get_execution', { execution_id: 'exe_unknown' });
    expect([unknown.isError, textOf(unknown)]).toEqual([true, expect.stringContaining('Unknown background execution')]);
  },
);
