import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import { type EchoTool, echoTool, resolveSession, startProtocolServer } from '../../../test/mcp/protocol-server.ts';

const headers = { 'content-type': 'application/json' };
const post = (url: string, body: object, extra: { headers?: Record<string, string>; signal?: AbortSignal } = {}) =>
  fetch(url, { method: 'POST', body: JSON.stringify(body), ...extra, headers: { ...headers, ...extra.headers } });
const call = { name: 'echo', arguments: { text: 'hi' } };

/** Serves one tool that waits for its end: the test sees it begin and be aborted. */
function waitingTool() {
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  const tool: EchoTool = echoTool(async (_input, { signal }) => {
    begun.resolve();
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    aborted.resolve();
    return { session_id: 'default', text: '' };
  });
  return { tool, begun: begun.promise, aborted: aborted.promise };
}

describe('POST /execute', () => {
  test('answers with the name, the session and the result', async () => {
    await using server = await startProtocolServer();
    const response = await post(`${server.url}/execute`, call);
    expect(await response.json()).toEqual({
      name: 'echo',
      session_id: 'default',
      result: { session_id: 'default', text: 'hi' },
    });
  });

  test('finds the session in the arguments, then beside them, then in the header', async () => {
    await using server = await startProtocolServer();
    const header = { 'X-Session-Id': 'c' };
    const inside = { name: 'echo', arguments: { text: '', session_id: 'a' } };
    const used = async (body: object, extra: Record<string, string> = {}) => {
      const response = await post(`${server.url}/execute`, body, { headers: extra });
      return ((await response.json()) as { session_id: string }).session_id;
    };
    expect(await used({ ...inside, session_id: 'b' }, header)).toBe('a');
    expect(await used({ ...call, session_id: 'b' }, header)).toBe('b');
    expect(await used(call, header)).toBe('c');
    expect(await used(call)).toBe('default');
  });

  test('takes null and empty text beside and among the arguments as absent', async () => {
    await using server = await startProtocolServer();
    const empty = { name: 'echo', session_id: null, arguments: { text: 'hi', session_id: '' } };
    for (const body of [empty, { ...empty, arguments: JSON.stringify(empty.arguments) }]) {
      const response = await post(`${server.url}/execute`, body);
      expect(await response.json()).toMatchObject({ session_id: 'default', result: { text: 'hi' } });
    }
    const beside = await post(`${server.url}/execute`, { ...empty, session_id: 'beside' });
    expect(await beside.json()).toMatchObject({ session_id: 'beside' });
  });

  test.each([
    [{ name: 'ecko' }, 404, 'not_found', 'Did you mean "echo"? Tools: echo.'],
    [{}, 400, 'invalid_input', 'Tools: echo.'],
    [{ name: 'echo', arguments: [] }, 400, 'invalid_input', 'Arguments of echo: text (string, required)'],
    [{ name: 'echo', session_id: 7, arguments: { text: '' } }, 400, 'invalid_input', 'session_id (string)'],
    [{ name: 'echo', argument: {} }, 400, 'invalid_input', 'Did you mean "arguments"?'],
  ])('refuses %j', async (body, status, code, hint) => {
    await using server = await startProtocolServer();
    for (const path of ['/execute', '/execute/stream']) {
      const response = await post(server.url + path, body);
      expect(response.status).toBe(status);
      const { error } = (await response.json()) as { error: { hint: string } };
      expect(error).toMatchObject({ code, hint: expect.stringContaining(hint) });
    }
  });
});

describe('a client that goes away', () => {
  test.each(['/execute', '/execute/stream'])('aborts the call on %s', async (path) => {
    const { tool, begun, aborted } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool], app: { streams: { graceMs: 10 } } });
    const leave = new AbortController();
    const answer = post(server.url + path, call, { signal: leave.signal }).then((response) => response.text());
    await begun;
    leave.abort();
    await expect(answer).rejects.toThrow();
    await aborted;
  });

  test('aborts nothing after its answer', async () => {
    const seen: AbortSignal[] = [];
    const tool = echoTool(async (input, context) => {
      seen.push(context.signal);
      return { session_id: resolveSession(input, context), text: '' };
    });
    await using server = await startProtocolServer({ tools: [tool] });
    await (await post(`${server.url}/execute`, call, { headers: { connection: 'close' } })).text();
    expect(seen.map(({ aborted }) => aborted)).toEqual([false]);
  });
});

describe('POST /execute/stream', () => {
  test('tells events as they happen and ends with the result', async () => {
    const more = Promise.withResolvers<void>();
    const tool = echoTool(async ({ text }, { emit }) => {
      await emit({ type: 'session', session_id: 's', session_created: true });
      await emit({ type: 'stdout', text: 'a\r\nb' });
      await more.promise;
      await emit({ type: 'stderr', text: 'c' });
      await emit({ type: 'progress', message: 'd' });
      return { session_id: 's', text };
    });
    await using server = await startProtocolServer({ tools: [tool], app: { keepAliveMs: 20 } });
    const response = await post(`${server.url}/execute/stream`, call);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      if (text.includes('keepalive')) more.resolve();
    }
    const ids = [...text.matchAll(/^id: (\S+)\.(\d+)$/gm)];
    expect(new Set(ids.map(([, stream]) => stream)).size).toBe(1);
    expect(ids.map(([, , number]) => Number(number))).toEqual([1, 2, 3, 4, 5]);
    const events = text
      .replace(/\nid: \S+/g, '')
      .split('\n\n')
      .filter((event) => event && !event.startsWith(':'));
    expect(events).toEqual([
      'event: session\ndata: {"session_id":"s","session_created":true}',
      'event: stdout\ndata: {"text":"a\\r\\nb"}',
      'event: stderr\ndata: {"text":"c"}',
      'event: progress\ndata: {"message":"d"}',
      'event: result\ndata: {"name":"echo","session_id":"s","result":{"session_id":"s","text":"hi"}}',
    ]);
  });

  test('ends with one error when the call fails', async () => {
    const tool = echoTool(() => Promise.reject(new TypeError('secret')));
    await using server = await startProtocolServer({
      tools: [tool],
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    const text = await (await post(`${server.url}/execute/stream`, call)).text();
    expect(text).toMatch(/^event: error\ndata: \{"error":\{"code":"internal_error",.*\}\}\nid: \S+\.1\n\n$/);
    expect(text).not.toContain('secret');
  });
});

describe('DELETE /execute/stream', () => {
  const cancel = (url: string, key: string) =>
    fetch(`${url}/execute/stream`, { method: 'DELETE', headers: { 'Idempotency-Key': key } });

  test('cancels the call with that key at once, and its reader still gets the result', async () => {
    const { tool, begun, aborted } = waitingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    const stream = await post(`${server.url}/execute/stream`, call, { headers: { 'Idempotency-Key': 'mine' } });
    await begun;
    expect((await cancel(server.url, 'mine')).status).toBe(204);
    await aborted;
    expect(await stream.text()).toContain('event: result');
    expect((await cancel(server.url, 'mine')).status).toBe(204);
  });

  test('knows no call of another key or another owner', async () => {
    const { tool, begun, aborted } = waitingTool();
    const authenticate = async (request: Request) => ({ owner: request.headers.get('x-api-key') ?? 'one' });
    await using server = await startProtocolServer({ tools: [tool], app: { authenticate } });
    const stream = await post(`${server.url}/execute/stream`, call, { headers: { 'Idempotency-Key': 'mine' } });
    await begun;
    expect((await cancel(server.url, 'other')).status).toBe(404);
    const headers = { 'Idempotency-Key': 'mine', 'x-api-key': 'two' };
    expect((await fetch(`${server.url}/execute/stream`, { method: 'DELETE', headers })).status).toBe(404);
    expect((await fetch(`${server.url}/execute/stream`, { method: 'DELETE' })).status).toBe(400);
    await cancel(server.url, 'mine');
    await aborted;
    await stream.text();
  });
});

describe('PUT /execute/stream/stdin', () => {
  /** A tool that answers with its whole standard input. */
  const reader: EchoTool = {
    ...echoTool(async (_input, { stdin }) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of stdin ?? []) pieces.push(Buffer.from(piece));
      return { session_id: 's', text: Buffer.concat(pieces).toString() };
    }),
    takesInput: true,
  };
  const key = { 'Idempotency-Key': 'mine' };
  const put = (url: string, body: NonNullable<RequestInit['body']>, headers: Record<string, string> = key) =>
    fetch(`${url}/execute/stream/stdin`, { method: 'PUT', body, headers, duplex: 'half' });

  test('streams the standard input of the call with that key', async () => {
    await using server = await startProtocolServer({ tools: [reader] });
    const stream = await post(`${server.url}/execute/stream?stdin=1`, call, { headers: key });
    const input = new ReadableStream({
      start: (controller) => {
        controller.enqueue(Buffer.from('one, '));
        setImmediate(() => {
          controller.enqueue(Buffer.from('two'));
          controller.close();
        });
      },
    });
    expect((await put(server.url, input)).status).toBe(204);
    expect(await stream.text()).toContain('"text":"one, two"');
    expect((await put(server.url, 'again')).status).toBe(400);
  });

  test('is answered when the call ends without reading it', async () => {
    const { tool, begun } = waitingTool();
    await using server = await startProtocolServer({ tools: [{ ...tool, takesInput: true }] });
    const stream = await post(`${server.url}/execute/stream?stdin=1`, call, { headers: key });
    await begun;
    const answer = put(server.url, 'never read');
    await fetch(`${server.url}/execute/stream`, { method: 'DELETE', headers: key });
    expect((await answer).status).toBe(204);
    await stream.text();
  });

  test('knows no other call, and no call takes it that does not say so or cannot', async () => {
    await using server = await startProtocolServer({ tools: [reader] });
    expect((await put(server.url, 'x', { 'Idempotency-Key': 'other' })).status).toBe(404);
    expect((await put(server.url, 'x', {})).status).toBe(400);
    expect((await post(`${server.url}/execute/stream?stdin=1`, call)).status).toBe(400);
    await (await post(`${server.url}/execute/stream`, call, { headers: key })).text();
    expect((await put(server.url, 'x')).status).toBe(400);
    await using deaf = await startProtocolServer();
    expect((await post(`${deaf.url}/execute/stream?stdin=1`, call, { headers: key })).status).toBe(400);
  });
});

describe('a slow reader of POST /execute/stream', () => {
  test('makes the program wait', { timeout: 20_000 }, async () => {
    const chunk = 'x'.repeat(256 * 1024);
    let written = 0;
    const blocked = Promise.withResolvers<void>();
    const tool = echoTool(async ({ text }, { emit }) => {
      for (; written < 200; written += 1) {
        const stall = setTimeout(blocked.resolve, 300);
        await emit({ type: 'stdout', text: chunk });
        clearTimeout(stall);
      }
      return { session_id: 's', text };
    });
    await using server = await startProtocolServer({ tools: [tool] });
    const socket = await openStream(server.port);
    socket.pause();
    await blocked.promise;
    expect(written).toBeLessThan(100);
    let tail = '';
    socket.resume().on('data', (data) => {
      tail = (tail + data.toString('latin1')).slice(-500);
    });
    await once(socket, 'end');
    expect(written).toBe(200);
    expect(tail).toContain('event: result');
  });

  test('frees the program by going away', { timeout: 20_000 }, async () => {
    const ended = Promise.withResolvers<void>();
    const stalled = Promise.withResolvers<void>();
    const tool = echoTool(async ({ text }, { emit, signal }) => {
      while (!signal.aborted) {
        const stall = setTimeout(stalled.resolve, 300);
        await emit({ type: 'stdout', text: 'x'.repeat(256 * 1024) });
        clearTimeout(stall);
      }
      ended.resolve();
      return { session_id: 's', text };
    });
    await using server = await startProtocolServer({ tools: [tool], app: { streams: { graceMs: 10 } } });
    const socket = await openStream(server.port);
    socket.pause();
    await stalled.promise;
    socket.destroy();
    await ended.promise;
  });
});

async function openStream(port: number): Promise<Socket> {
  const socket = createConnection(port, '127.0.0.1');
  await once(socket, 'connect');
  const body = JSON.stringify(call);
  socket.write(
    `POST /execute/stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

describe('a reader of POST /execute/stream that comes back', () => {
  /** A tool that counts its runs, says one word, and goes on when it is let. */
  function countingTool() {
    const released = Promise.withResolvers<void>();
    let runs = 0;
    const tool = echoTool(async ({ text }, { emit }) => {
      runs += 1;
      await emit({ type: 'stdout', text: 'one' });
      await released.promise;
      await emit({ type: 'stdout', text: 'two' });
      return { session_id: 's', text };
    });
    return { tool, release: released.resolve, runs: () => runs };
  }

  const readUntil = async (response: Response, word: string) => {
    let text = '';
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString();
      if (text.includes(word)) break;
    }
    return text;
  };
  const lastId = (text: string) => [...text.matchAll(/^id: (\S+)$/gm)].at(-1)?.[1] ?? '';

  test('gets what it missed, and the program runs once', async () => {
    const { tool, release, runs } = countingTool();
    await using server = await startProtocolServer({ tools: [tool] });
    const url = `${server.url}/execute/stream`;
    const id = lastId(await readUntil(await post(url, call), 'id: '));
    release();
    const comeBack = async (last: string) => await post(url, call, { headers: { 'last-event-id': last } });
    const rest = await (await comeBack(id)).text();
    expect(rest.replace(/\nid: \S+/g, '')).toMatch(/^event: stdout\ndata: \{"text":"two"\}\n\nevent: result\n/);
    // As often as it likes: an event source that has it all is told to come no more.
    expect(await (await comeBack(id)).text()).toBe(rest);
    expect((await comeBack(lastId(rest))).status).toBe(204);
    expect(runs()).toBe(1);
  });

  test("with the id of an event that is long gone, never was or is another's is told so, and nothing is run", async () => {
    const { tool, release, runs } = countingTool();
    const authenticate = async (request: Request) => ({ owner: request.headers.get('x-user') ?? 'nobody' });
    await using server = await startProtocolServer({
      tools: [tool],
      app: { authenticate, streams: { graceMs: 20, keepMs: 20 } },
    });
    const url = `${server.url}/execute/stream`;
    release();
    const comeBack = async (last: string, user = 'me') =>
      await post(url, call, { headers: { 'last-event-id': last, 'x-user': user } });
    const id = lastId(await (await post(url, call, { headers: { 'x-user': 'me' } })).text());
    expect((await comeBack(id, 'other')).status).toBe(404);
    await expect.poll(async () => (await comeBack(id)).status, { interval: 50 }).toBe(404);
    for (const unknown of ['x', 'x.1', `${id}9`]) expect((await comeBack(unknown)).status).toBe(404);
    expect(runs()).toBe(1);
  });
});
