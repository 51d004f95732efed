import { spawn } from 'node:child_process';
import { text as readText } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { addConformanceFixtures } from './conformance-fixtures.ts';
import { FixtureTasks, taskTools } from './conformance-tasks.ts';
import { startProtocolServer } from './protocol-server.ts';

const SUITE = fileURLToPath(
  new URL('../../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url),
);

describe.each([
  ['2025-11-25', 30],
  ['2026-07-28', 37],
])('the MCP conformance suite, requirements of %s', (revision, scored) => {
  test(`passes all ${scored} scored scenarios`, { timeout: 120_000 }, async () => {
    await using server = await startProtocolServer({ extend: addConformanceFixtures });
    const { output, code } = await runSuite(server.url, ['--requirements', revision]);
    const { passed, failed } = readSummary(output);
    expect(failed, output).toEqual([]);
    expect(passed).toHaveLength(scored);
    expect(code).toBe(0);
  });
});

/** Scenarios that need no fixtures: what we really serve passes them too. */
describe.each([
  ['2025-11-25', ['server-initialize', 'ping', 'tools-list', 'dns-rebinding-protection', 'server-session-lifecycle']],
  ['2026-07-28', ['tools-list', 'dns-rebinding-protection', 'http-header-validation', 'server-sse-multiple-streams']],
])('without fixtures, at %s', (revision, scenarios) => {
  test.each(scenarios)('passes %s', { timeout: 60_000 }, async (scenario) => {
    await using server = await startProtocolServer();
    const { output, code } = await runSuite(server.url, ['--scenario', scenario, '--spec-version', revision]);
    expect(code, output).toBe(0);
  });
});

/** Scenarios of the tasks extension, which no revision requires. */
describe('the MCP conformance suite, tasks', () => {
  test.each([
    'lifecycle',
    'capability-negotiation',
    'wire-fields',
    'request-state-removal',
    'mrtr-input',
    'request-headers',
    'dispatch-and-envelope',
    'status-notifications',
    'required-task-error',
    'mrtr-composition',
  ])('passes tasks-%s', { timeout: 60_000 }, async (scenario) => {
    const source = new FixtureTasks();
    const times = { inlineMs: 0, settleMs: 0 };
    await using server = await startProtocolServer({ extend: () => taskTools(source), tasks: { source, times } });
    const { output, code } = await runSuite(server.url, ['--scenario', `tasks-${scenario}`]);
    expect(code, output).toBe(0);
  });
});

async function runSuite(url: string, what: readonly string[]) {
  const child = spawn(process.execPath, [SUITE, 'server', '--url', `${url}/mcp`, ...what], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([readText(child.stdout), readText(child.stderr)]);
  return { output: stdout + stderr, code: await exited };
}

/** Scored scenarios, one line each in the summary; what is listed as not scored after it does not count. */
function readSummary(output: string) {
  const summary = output.slice(output.indexOf('=== SUMMARY ==='));
  const notScored = new Set([...summary.matchAll(/^ {2}[✓✗] ([\w-]+) \(/gm)].map(([, name]) => name));
  const scored = [...summary.matchAll(/^([✓✗]) ([\w-]+): /gm)].filter(([, , name]) => !notScored.has(name));
  const named = (mark: string) => scored.filter(([, found]) => found === mark).map(([, , name]) => name);
  return { passed: named('✓'), failed: named('✗') };
}
