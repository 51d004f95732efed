import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { makeWheel } from '../support/distributions.ts';
import { IndexServer } from '../support/index-server.ts';
import { callTool, post, runPython } from '../support/rest-client.ts';
import { startServer } from '../support/server.ts';
import { startWebServer, WEB_HOST } from '../support/web-server.ts';

interface Held {
  readonly result: {
    readonly status: string;
    readonly execution_id: string;
    readonly tool_calls: readonly { readonly id: string }[];
  };
}

it('the audit log tells packages with versions, hosts and tools with how often they were used', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-audit-'));
  const path = join(folder, 'audit.jsonl');
  const [index, web] = await Promise.all([IndexServer.start(), startWebServer()]);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  stack.use(index);
  stack.use(web);
  index.add(makeWheel('plain-thing', '2.0'));
  const server = await startServer({
    env: {
      GLOVEBOX_AUDIT_LOG: path,
      GLOVEBOX_CACHE_DIR: join(folder, 'cache'),
      GLOVEBOX_INDEX_URL: index.url,
      GLOVEBOX_EGRESS: `${WEB_HOST}:${web.http}`,
      GLOVEBOX_EGRESS_PRIVATE: '127.0.0.0/8',
    },
  });
  stack.use(server);
  await callTool(server, 'install_dependencies', { packages: ['plain-thing>=1'] });
  const address = `http://${WEB_HOST}:${web.http}/hello`;
  await runPython(server, `import urllib.request\nfor n in range(2): urllib.request.urlopen("${address}").read()`);
  const asked = await post(server, '/execute', {
    name: 'execute_python',
    arguments: { code: 'import tools\nprint(tools.client.add(a=1, b=2))' },
    client_tools: [{ name: 'add', inputSchema: { type: 'object', properties: { a: {}, b: {} } } }],
  });
  const { result } = (await asked.json()) as Held;
  expect(result.status).toBe('tool_call_required');
  const results = result.tool_calls.map(({ id }) => ({ id, value: 3 }));
  await post(server, `/executions/${result.execution_id}/tool_results`, { results });
  await server.stop();
  const calls = readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ event }) => event === 'call');
  expect(calls).toHaveLength(4);
  expect(calls[0]).toMatchObject({ tool: 'install_dependencies', outcome: 'ok', packages: { 'plain-thing': '2.0' } });
  expect(calls[1]).toMatchObject({ tool: 'execute_python', outcome: 'ok', hosts: { [WEB_HOST]: 2 } });
  // The call and the request with its results end at once.
  expect(calls.slice(2)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ tool: 'execute_python', outcome: 'ok', tools: { 'client.add': 1 } }),
      expect.objectContaining({ operation: 'POST /executions/:id/tool_results', execution: result.execution_id }),
    ]),
  );
});
