import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { WebMetrics } from '../../egress/web-metrics.ts';
import { GloveboxError } from '../../errors.ts';
import { ExecutionMetrics } from '../../scheduling/execution-metrics.ts';
import type { AnyTool } from '../../tools/description.ts';
import type { ToolContext, ToolOutput } from '../../tools/tool.ts';
import { CallMetrics } from './call-metrics.ts';
import { type MetricsSources, ServerMetrics } from './metrics.ts';

const FIGURES = {
  sessions: 3,
  adopting: 2,
  terminals: 1,
  pool: { size: 2, ready: 1 },
  preload: { bytes: 1000, limit: 4000, sandboxes: 1, failures: 2 },
  executions: { running: 0, waiting: 0, places: 8 },
  claimedMb: 1,
  missing: ['pids', 'inodes'],
  version: '1.2.3',
  hibernated: 1,
  archives: { bytes: 10, limitBytes: 100 },
  approvalsWaiting: 2,
  process: { memoryBytes: 5, cpuS: 1.5, startedAtS: 1000 },
  eventLoop: { maxS: 0.02, quantilesS: new Map([[0.99, 0.01]]) },
} as const;
const SOURCES: MetricsSources = { read: () => FIGURES, engineAnswers: async () => true };

test('what one owner has of the web is in the metrics for that owner, and for whoever sees all', async () => {
  const { registry } = new ExecutionMetrics();
  const web = new WebMetrics(registry);
  web.countRequest('alice', '*.example.com', 'ok');
  web.countBytes('bob', 'b.example.com', 5, 0);
  const metrics = new ServerMetrics(registry, SOURCES);
  const ofAlice = await metrics.render('alice');
  expect(ofAlice).toContain('glovebox_web_requests_total{owner="alice",host_rule="*.example.com",outcome="ok"} 1');
  expect(ofAlice).toContain('glovebox_sessions 3');
  expect(ofAlice).not.toContain('bob');
  const ofAll = await metrics.render(undefined);
  expect(ofAll).toContain('owner="alice"');
  expect(ofAll).toContain('glovebox_web_bytes_total{owner="bob",host_rule="b.example.com",direction="in"} 5');
});

test('metrics tell what runs, how executions ended, and in cumulative buckets how long they took', async () => {
  const executions = new ExecutionMetrics();
  executions.count({ code: '1' }, { status: 'ok' }, 4);
  executions.count({ code: '1' }, { status: 'ok' }, 200);
  executions.count({ code: '1' }, { status: 'timeout' }, 4_000_000);
  executions.count({ kind: 'install' }, { status: 'error' }, 2000);
  const metrics = new ServerMetrics(executions.registry, SOURCES);
  expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  const text = await metrics.render(undefined);
  expect(text.split('\n').map(sortLabels)).toEqual(
    expect.arrayContaining([
      '# TYPE glovebox_sessions gauge',
      'glovebox_sessions 3',
      'glovebox_sessions_hibernated 1',
      'glovebox_sessions_adopting 2',
      'glovebox_engine_up 1',
      'glovebox_build_info{version="1.2.3"} 1',
      'glovebox_archive_limit_bytes 100',
      'glovebox_audit_log_failing 0',
      'glovebox_issuer_failing 0',
      'process_cpu_seconds_total 1.5',
      'glovebox_pool_ready 1',
      'glovebox_sandbox_missing{protection="pids"} 1',
      'glovebox_sandbox_missing{protection="inodes"} 1',
      'glovebox_preload_bytes 1000',
      'glovebox_preload_failures 2',
      'glovebox_memory_limit_bytes 1048576',
      'glovebox_executions_places 8',
      'glovebox_executions_total{kind="code",status="ok"} 2',
      'glovebox_executions_total{kind="install",status="error"} 1',
      'glovebox_execution_seconds_bucket{kind="code",le="0.005"} 1',
      'glovebox_execution_seconds_bucket{kind="code",le="0.1"} 1',
      'glovebox_execution_seconds_bucket{kind="code",le="3600"} 2',
      'glovebox_execution_seconds_bucket{kind="code",le="+Inf"} 3',
      'glovebox_event_loop_delay_seconds{quantile="0.99"} 0.01',
      'glovebox_event_loop_delay_seconds{quantile="1"} 0.02',
      'glovebox_execution_seconds_sum{kind="code"} 4000.204',
      'glovebox_execution_seconds_count{kind="code"} 3',
    ]),
  );
  expect(text.endsWith('\n')).toBe(true);
});

test('what another part counts is told as it is at each scrape, and not added up', async () => {
  const traffic = { pageRequests: 3, fileRequests: 0, metadataRequests: 0, pageHits: 7, fileHits: 0 };
  const packages = { ...traffic, failures: 1, bytesFetched: 5, bytesServed: 50, cacheBytes: 40, connections: 0 };
  let answers = true;
  const metrics = new ServerMetrics(new ExecutionMetrics().registry, {
    read: () => ({ ...FIGURES, packages }),
    engineAnswers: async () => answers,
  });
  await metrics.render(undefined);
  answers = false;
  const text = await metrics.render(undefined);
  expect(text).toContain('# TYPE glovebox_package_requests_total counter');
  expect(text).toContain('glovebox_package_requests_total{kind="page",from="cache"} 7');
  expect(text).toContain('glovebox_package_failures_total 1');
  expect(text).toContain('glovebox_engine_up 0');
});

test('a call is counted once, under its status or the code of its error', async () => {
  const registry = new Registry();
  const call = async (outcome: ToolOutput | Error) => {
    const tool = { name: 'run', handle: async () => Promise.reject(outcome) };
    if (!(outcome instanceof Error)) Object.assign(tool, { handle: async () => outcome });
    const [counted] = calls.countTools([tool as unknown as AnyTool], 'rest');
    await counted?.handle({}, {} as ToolContext).catch(() => {});
  };
  const calls = new CallMetrics(registry);
  for (const outcome of [{}, { status: 'error' }, new GloveboxError('session_busy', 'busy'), new Error('a defect')])
    await call(outcome);
  const text = await registry.metrics();
  for (const outcome of ['ok', 'error', 'session_busy', 'internal_error'])
    expect(text).toContain(`glovebox_calls_total{transport="rest",tool="run",outcome="${outcome}"} 1`);
  expect(text).toContain('glovebox_call_seconds_count{tool="run"} 4');
});

test('two servers of one process count apart', async () => {
  const [one, two] = [new ExecutionMetrics(), new ExecutionMetrics()];
  one.count({ code: '1' }, { status: 'ok' }, 4);
  expect(await one.registry.metrics()).toContain('glovebox_executions_total{kind="code",status="ok"} 1');
  expect(await two.registry.metrics()).not.toContain('status="ok"');
});

/** The order of labels means nothing. */
function sortLabels(line: string): string {
  return line.replace(/\{(.*)\}/, (_, labels: string) => `{${labels.split(',').sort().join(',')}}`);
}
