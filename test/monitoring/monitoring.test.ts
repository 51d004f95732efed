import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../../src/lib/run-command.ts';
import { ALERTS, metricsIn, queriesOf, readDashboard, readRules } from '../support/monitoring.ts';
import { findProgram, type Prometheus, startPrometheus } from '../support/prometheus.ts';
import { callTool, openSession, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';

const SETUP_MS = 240_000;
const pathOf = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const rules = readRules();
const queries = queriesOf(readDashboard());

let server: Server;
let prometheus: Prometheus;

beforeAll(async () => {
  server = await startServer({ env: { GLOVEBOX_POOL_SIZE: '1', GLOVEBOX_CHECKPOINT_AFTER_S: '1' } });
  prometheus = await startPrometheus(new URL(server.url).host, pathOf(ALERTS.rules));
}, SETUP_MS);
afterAll(async () => {
  await prometheus[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function readValue(expression: string): Promise<number | undefined> {
  const { data } = await prometheus.query(expression);
  const value = data?.result[0]?.value[1];
  return value === undefined ? undefined : Number(value);
}

test('promtool finds nothing wrong with the rules', async () => {
  const { code, stdout, stderr } = await runCommand(await findProgram('promtool'), [
    ...['check', 'rules', pathOf(ALERTS.rules)],
  ]);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`${rules.length} rules found`);
});

test('each alert fires over series in which it must, and none over those of a server that is well', async () => {
  const { code, stdout, stderr } = await runCommand(await findProgram('promtool'), [
    ...['test', 'rules', pathOf(ALERTS.tests)],
  ]);
  expect(code, stdout + stderr).toBe(0);
});

test('a server has each metric that the dashboard and the alerts ask for, whatever it has done', async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const there = new Set([...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name));
  const asked = [...queries, ...rules.map(({ expr }) => expr)].flatMap(metricsIn);
  expect([...new Set(asked)].filter((name) => !there.has(name))).toEqual([]);
  // And there are no others that nobody looks at.
  expect([...there].filter((name) => !asked.includes(name ?? ''))).toEqual([]);
});

test('Prometheus takes each query of the dashboard and each expression of an alert', async () => {
  const asked = [...queries.map(fillIn), ...rules.map(({ expr }) => expr)];
  const answers = await Promise.all(asked.map(async (query) => ({ query, ...(await prometheus.query(query)) })));
  expect(answers.filter(({ status }) => status !== 'success')).toEqual([]);
});

test('what a server does comes to the panels, and no alert fires meanwhile', async () => {
  const session = await openSession(server);
  await runPython(server, 'open("a.txt", "w").write("a")', { session_id: session });
  await callTool(server, 'list_files', { session_id: session });
  await expect.poll(() => readValue('glovebox_archive_saves_total{kind="checkpoint",outcome="ok"}')).toBeGreaterThan(0);
  expect(await readValue('glovebox_engine_up')).toBe(1);
  expect(await readValue('glovebox_archive_bytes')).toBeGreaterThan(0);
  expect(await readValue('glovebox_sandbox_starts_total{outcome="ok"}')).toBeGreaterThan(0);
  expect(await readValue('glovebox_calls_total{transport="rest",tool="execute_python",outcome="ok"}')).toBe(1);
  expect(await readValue('glovebox_execution_wait_seconds_count{kind="code"}')).toBe(1);
  // A rate needs two scrapes.
  await expect.poll(() => readValue(fillIn(queryOf('glovebox_call_seconds_bucket')))).toBeDefined();
  const { data } = await prometheus.query('ALERTS{alertstate="firing"}');
  expect(data?.result).toEqual([]);
});

function queryOf(metric: string): string {
  const found = queries.find((query) => query.includes(metric));
  if (found === undefined) throw new Error(`No panel asks for ${metric}.`);
  return found;
}

/** Puts values for the variables of the dashboard into a query. */
function fillIn(query: string): string {
  return query.replaceAll('$__rate_interval', '1m').replaceAll(/\$(?:job|instance)/g, '.*');
}
