import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { setSecret } from '../../src/secrets/changes.ts';
import { type CollectedSpan, Collector } from '../support/collector.ts';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, openSession, post, runPython, unusedName } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';
import { type RunningToolServer, startToolServer, textResult } from '../support/tool-server.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

/** Time to build the collector where it was not built yet. */
const BUILD_MS = 600_000;
/** What may not reach the collector. */
const CANARY = `canary_${randomBytes(8).toString('hex')}`;
const CALLER_SPAN = '00f067aa0ba902b7';
const MODERN = '2026-07-28';

let collector: Collector;
let index: IndexServer;
let tools: RunningToolServer;
let web: WebServer;
let server: Server;
/** `_meta` of the last call of the tool. */
let meta: Record<string, unknown> | undefined;

beforeAll(async () => {
  collector = await Collector.start();
  index = await IndexServer.start();
  index.add(makeWheel('plain-thing', '1.0'));
  web = await startWebServer();
  tools = await startToolServer({
    tools: () => [
      {
        name: 'echo',
        inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
        run: (_args, { mcpReq }) => {
          meta = mcpReq._meta;
          return textResult(CANARY);
        },
      },
    ],
  });
  const stateDir = newStateDir();
  const file = join(stateDir, 'tools.json');
  const headers = { Authorization: `Bearer \${secret:KEY}` };
  writeFileSync(
    file,
    JSON.stringify({ mcpServers: { echoes: { url: tools.url, headers, approve: 'never', default: true } } }),
  );
  setSecret({ stateDir }, { name: 'KEY' }, CANARY);
  server = await startServer({
    stateDir,
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_EXPORTER_OTLP_HEADERS: `api-key=${CANARY}`,
      OTEL_BSP_SCHEDULE_DELAY: '50',
      OTEL_METRIC_EXPORT_INTERVAL: '500',
      OTEL_EXPORTER_OTLP_TIMEOUT: '2000',
      GLOVEBOX_INDEX_URL: index.url,
      GLOVEBOX_TOOLS: file,
      GLOVEBOX_EGRESS: `${WEB_HOST}:${web.http}`,
      GLOVEBOX_EGRESS_PRIVATE: `${WEB_HOST}/32`,
      GLOVEBOX_POOL_SIZE: '0',
      GLOVEBOX_HIBERNATE_AFTER_S: '1',
      GLOVEBOX_CHECKPOINT_AFTER_S: '1',
    },
  });
}, BUILD_MS);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await tools[Symbol.asyncDispose]();
  await web[Symbol.asyncDispose]();
  await index[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
});

/** A trace of a caller: what the caller sends of it, and its spans once those with the names are there. */
function newTrace() {
  const id = randomBytes(16).toString('hex');
  return {
    traceparent: `00-${id}-${CALLER_SPAN}-01`,
    spans: async (...names: string[]): Promise<(name: string) => CollectedSpan> => {
      const found = () => collector.spans.filter(({ traceId }) => traceId === id);
      await expect.poll(() => found().map(({ name }) => name)).toEqual(expect.arrayContaining(names));
      return (name) => {
        const span = found().find((candidate) => candidate.name === name);
        if (!span) throw new Error(`there is no span ${name}`);
        return span;
      };
    },
  };
}

/** Expects spans to be parts of one another, the outermost first. */
function expectChain(span: (name: string) => CollectedSpan, names: readonly string[]): void {
  const parents = names.map((name) => span(name).parentSpanId);
  expect(parents).toEqual([CALLER_SPAN, ...names.slice(0, -1).map((name) => span(name).spanId)]);
}

describe('a call is one trace of its caller', () => {
  test('over REST, with the start of its sandbox', async () => {
    const { traceparent, spans } = newTrace();
    const session = unusedName('private-name');
    const code = `# ${CANARY}\nprint("${CANARY}")`;
    const env = { TOKEN: CANARY };
    await runPython(server, code, { session_id: session, env }, { headers: { traceparent } });
    const span = await spans('POST /execute');
    expectChain(span, ['POST /execute', 'execute_tool execute_python', 'glovebox.execution']);
    const ofStart = [
      'glovebox.session.lease',
      'glovebox.session.wake',
      'glovebox.sandbox.start',
      'glovebox.engine.start',
    ];
    expectChain(span, ['POST /execute', 'execute_tool execute_python', ...ofStart]);
    expect(span('glovebox.runner.connect').parentSpanId).toBe(span('glovebox.sandbox.start').spanId);
    expect(span('POST /execute').attributes).toMatchObject({
      'http.request.method': 'POST',
      'http.route': '/execute',
      'http.response.status_code': '200',
    });
    expect(span('glovebox.execution').attributes).toMatchObject({
      'glovebox.execution.kind': 'code',
      'glovebox.execution.status': 'ok',
      'glovebox.session.id': expect.stringMatching(/^named_/),
    });
    expect(collector.text).not.toContain(session);
  });

  test('over MCP, where a field of the message names it', async () => {
    const { traceparent, spans } = newTrace();
    const envelope = { protocolVersion: MODERN, clientInfo: { name: 'test', version: '1' }, clientCapabilities: {} };
    const fields = Object.entries(envelope).map(([key, value]) => [`io.modelcontextprotocol/${key}`, value]);
    const params = {
      name: 'execute_python',
      arguments: { code: `raise ValueError("${CANARY}")` },
      _meta: { ...Object.fromEntries(fields), traceparent },
    };
    const headers = {
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': MODERN,
      'mcp-method': 'tools/call',
      'mcp-name': 'execute_python',
    };
    const answer = await post(server, '/mcp', { jsonrpc: '2.0', id: 7, method: 'tools/call', params }, { headers });
    expect(await answer.text()).toContain('ValueError');
    const span = await spans('tools/call execute_python');
    expectChain(span, ['tools/call execute_python', 'glovebox.execution']);
    const { attributes, status, links } = span('tools/call execute_python');
    expect(attributes).toMatchObject({
      'mcp.method.name': 'tools/call',
      'mcp.protocol.version': MODERN,
      'gen_ai.tool.name': 'execute_python',
      'jsonrpc.request.id': '7',
      'network.transport': 'tcp',
      // An exception of the code is no failure of the call.
      'glovebox.execution.status': 'error',
    });
    expect(status).toBe(0);
    const [transport] = links;
    const over = collector.spans.find(({ name, traceId }) => name === 'POST /mcp' && traceId === transport?.traceId);
    expect(over).toBeDefined();
  });

  test('with the packages that it installs', async () => {
    const { traceparent, spans } = newTrace();
    const result = callTool(
      server,
      'install_dependencies',
      { packages: ['plain-thing'] },
      { headers: { traceparent } },
    );
    expect(await result).toMatchObject({ status: 'ok' });
    const span = await spans('POST /execute', 'glovebox.packages.download');
    const call = ['POST /execute', 'execute_tool install_dependencies', 'glovebox.installation'];
    expect(span('glovebox.installation').attributes).toMatchObject({
      'glovebox.execution.status': 'ok',
      'glovebox.installation.packages': '1',
    });
    expectChain(span, [...call, 'glovebox.packages.index', 'GET']);
    expectChain(span, [...call, 'glovebox.packages.download']);
    expect(span('glovebox.packages.download').attributes).toMatchObject({ 'glovebox.package.name': 'plain-thing' });
    expect(span('GET').attributes).toMatchObject({ 'server.address': '127.0.0.1', 'http.response.status_code': '200' });
  });

  test('with the files that it sends and gets, by how many bytes, and not by name', async () => {
    const session = await openSession(server);
    const url = `${server.url}/sessions/${session}/files/${CANARY}.txt`;
    const [sending, getting] = [newTrace(), newTrace()];
    const content = CANARY.repeat(1000);
    await fetch(url, { method: 'PUT', body: content, headers: { traceparent: sending.traceparent } });
    expect(await (await fetch(url, { headers: { traceparent: getting.traceparent } })).text()).toBe(content);
    const route = '/sessions/:id/files/*';
    const sent = await sending.spans(`PUT ${route}`, 'glovebox.files');
    expectChain(sent, [`PUT ${route}`, 'glovebox.files']);
    expect(sent('glovebox.files').attributes).toMatchObject({
      'glovebox.session.id': session,
      'glovebox.files.operation': 'write',
      'glovebox.execution.status': 'ok',
    });
    expect(Number(sent('glovebox.files').attributes['glovebox.files.sent_bytes'])).toBeGreaterThanOrEqual(
      content.length,
    );
    const got = await getting.spans(`GET ${route}`, 'glovebox.files');
    expect(got('glovebox.files').attributes).toMatchObject({ 'glovebox.files.operation': 'read' });
    const received = Number(got('glovebox.files').attributes['glovebox.files.received_bytes']);
    expect(received).toBeGreaterThanOrEqual(content.length);
  });

  test('with the tools of other servers that its code calls, which are told of it', async () => {
    const { traceparent, spans } = newTrace();
    const code = `from tools import echoes\nprint(echoes.echo(text="${CANARY}"))`;
    const result = await runPython(server, code, {}, { headers: { traceparent } });
    expect(result).toMatchObject({ status: 'ok' });
    const span = await spans('POST /execute');
    expectChain(span, ['POST /execute', 'execute_tool execute_python', 'glovebox.execution', 'tools/call echo']);
    const { attributes, traceId, spanId } = span('tools/call echo');
    expect(attributes).toMatchObject({
      'glovebox.tools.server': 'echoes',
      'gen_ai.tool.name': 'echo',
      'server.address': '127.0.0.1',
      'server.port': new URL(tools.url).port,
    });
    const told = `00-${traceId}-${spanId}-01`;
    expect(meta).toMatchObject({ traceparent: told });
    expect(tools.requests.map(({ headers }) => headers['traceparent'])).toContain(told);
  });

  test('with the hosts that its code asks, which are not told of it', async () => {
    const { traceparent, spans } = newTrace();
    const url = `http://${WEB_HOST}:${web.http}/${CANARY}?q=${CANARY}`;
    // There is nothing at that path, which makes no difference here.
    const code = `import urllib.request, urllib.error
try:
    urllib.request.urlopen("${url}")
except urllib.error.HTTPError as error:
    print(error.code)`;
    const result = await runPython(server, code, {}, { headers: { traceparent } });
    expect(result).toMatchObject({ status: 'ok', stdout: '404\n' });
    const span = await spans('POST /execute', 'GET');
    expectChain(span, ['POST /execute', 'execute_tool execute_python', 'glovebox.execution', 'GET']);
    expect(span('GET').attributes).toEqual({
      'http.request.method': 'GET',
      'server.address': WEB_HOST,
      'server.port': String(web.http),
    });
    expect(web.requests.length).toBeGreaterThan(0);
    for (const { headers } of web.requests) expect(headers).not.toHaveProperty('traceparent');
  });

  test('with its wait for its turn', async () => {
    const { traceparent, spans } = newTrace();
    const session = await openSession(server);
    const run = (more?: { headers: Record<string, string> }) =>
      runPython(server, 'import time; time.sleep(0.5)', { session_id: session, context: 'one' }, more);
    const first = run();
    await expect
      .poll(async () => (await (await fetch(`${server.url}/sessions/${session}`)).json()) as object)
      .toMatchObject({ running: 1 });
    await run({ headers: { traceparent } });
    await first;
    const span = await spans('POST /execute');
    expectChain(span, ['POST /execute', 'execute_tool execute_python', 'glovebox.execution', 'glovebox.queue']);
  });

  test('with the waking of a hibernated session, whose hibernation is a trace of its own', async () => {
    const session = await openSession(server);
    await runPython(server, 'open("a", "w").close()', { session_id: session });
    const state = async () => (await (await fetch(`${server.url}/sessions/${session}`)).json()) as object;
    await expect.poll(state, { timeout: 40_000 }).toMatchObject({ state: 'hibernated' });
    const { traceparent, spans } = newTrace();
    await runPython(server, 'open("a").close()', { session_id: session }, { headers: { traceparent } });
    const span = await spans('POST /execute');
    const waking = ['glovebox.session.lease', 'glovebox.session.wake'];
    expectChain(span, ['POST /execute', 'execute_tool execute_python', ...waking]);
    expect(span('glovebox.session.wake').attributes).toMatchObject({ 'glovebox.session.id': session });
    const hibernation = collector.spans.find(
      ({ name, attributes }) => name === 'glovebox.session.hibernate' && attributes['glovebox.session.id'] === session,
    );
    expect(hibernation).toMatchObject({ parentSpanId: '', attributes: { 'glovebox.session.outcome': 'hibernated' } });
  });

  test('with the code of an error, and nothing else of it', async () => {
    const { traceparent, spans } = newTrace();
    const wrong = { name: 'read_file', arguments: { path: CANARY } };
    const answer = await post(server, '/execute', wrong, { headers: { traceparent } });
    expect(answer.status).toBe(404);
    const span = await spans('POST /execute');
    expect(span('execute_tool read_file')).toMatchObject({ status: 2, attributes: { 'error.type': 'file_not_found' } });
    // By the conventions, a request that is wrong is no failure of the server.
    expect(span('POST /execute')).toMatchObject({ status: 0, attributes: { 'http.response.status_code': '404' } });
  });
});

test('the metrics of GET /metrics reach the collector, those that have values', async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].flatMap(([, name]) =>
    name && new RegExp(`^${name}(_count)?[ {]`, 'm').test(text) ? [name] : [],
  );
  expect(names).toContain('glovebox_sessions');
  await expect.poll(() => [...collector.metricNames]).toEqual(expect.arrayContaining(names));
});

test('calls go on while the collector is gone, and are told of again once it is back', async () => {
  const warnings = () => server.stderr().match(/takes no reports/g)?.length ?? 0;
  const before = warnings();
  await collector.kill();
  const lost = newTrace();
  await runPython(server, 'print(1)', {}, { headers: { traceparent: lost.traceparent } });
  await expect.poll(warnings).toBe(before + 1);
  await collector.start();
  const { traceparent, spans } = newTrace();
  await runPython(server, 'print(1)', {}, { headers: { traceparent } });
  await spans('POST /execute');
  await expect.poll(() => server.stderr()).toContain('takes reports again');
  expect(warnings()).toBe(before + 1);
});

test('nothing of code, output, values or secrets reaches the collector', () => {
  expect(collector.spans.length).toBeGreaterThan(20);
  expect(collector.text).not.toContain(CANARY);
});

describe('the modules of OpenTelemetry', () => {
  /** Modules that a server has loaded when it ends. */
  async function modulesOf(env: Record<string, string>): Promise<string[]> {
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-modules-'));
    try {
      const other = await startServer({ env: { ...env, NODE_V8_COVERAGE: folder, GLOVEBOX_POOL_SIZE: '0' } });
      await runPython(other, 'print(1)');
      await other.stop();
      return readdirSync(folder).flatMap((name) => {
        const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { result: { url: string }[] };
        return result.map(({ url }) => url);
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  // prom-client loads `@opentelemetry/api` by itself.
  const OURS = /@opentelemetry\/(?!api\/)|\/dist\/telemetry\/(telemetry|tracer)\.js/;

  test('are loaded where a collector is named', async () => {
    const modules = await modulesOf({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
    expect(modules.filter((url) => OURS.test(url))).not.toEqual([]);
  });

  test('are not loaded otherwise', async () => {
    const modules = await modulesOf({ OTEL_SERVICE_NAME: 'unused' });
    expect(modules.some((url) => url.endsWith('/dist/server.js'))).toBe(true);
    expect(modules.filter((url) => OURS.test(url))).toEqual([]);
  });
});
