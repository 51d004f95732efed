import { afterEach, beforeEach, expect, it } from 'vitest';
import { OtlpReceiver, type ReportedSpan } from '../../test/support/otlp-receiver.ts';
import { readTelemetry } from '../config/telemetry-environment.ts';
import { GloveboxError } from '../errors.ts';
import { createLog } from '../log.ts';
import { ExecutionMetrics } from '../scheduling/execution-metrics.ts';
import { labelOf } from './session-spans.ts';
import { Telemetry } from './telemetry.ts';
import { apart, currentTrace, isTracing, startSpan, trace, traceFields, within } from './trace.ts';

const CALLER = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
let receiver: OtlpReceiver;
let log: string[];

beforeEach(async () => {
  receiver = await OtlpReceiver.start();
  log = [];
});

afterEach(async () => {
  await receiver[Symbol.asyncDispose]();
});

function open(env: Record<string, string> = {}): Telemetry {
  const settings = readTelemetry({
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '5',
    ...env,
  });
  if (!settings) throw new Error('nothing is sent');
  return new Telemetry({
    settings,
    hosts: { proxy: {} },
    version: '1.2.3',
    log: createLog('debug', (line) => log.push(line)),
  });
}

/** Does work, and returns the spans that came of it, by name. */
async function spansOf(
  work: () => Promise<unknown>,
  env?: Record<string, string>,
): Promise<Record<string, ReportedSpan>> {
  {
    await using _telemetry = open(env);
    await work();
  }
  return Object.fromEntries(receiver.spans.map((span) => [span.name, span]));
}

function attributesOf(span: ReportedSpan | undefined): Record<string, unknown> {
  return Object.fromEntries((span?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]));
}

it('does work as it is where nothing is traced', async () => {
  const work = Promise.resolve(1);
  expect(isTracing()).toBe(false);
  expect(trace('a', () => work)).toBe(work);
  expect(startSpan('a')).toBeUndefined();
  expect(currentTrace()).toBeUndefined();
  expect(traceFields()).toBeUndefined();
});

it('makes what happens during a span a part of it, across waits', async () => {
  const spans = await spansOf(() =>
    trace('call', async () => {
      await new Promise(setImmediate);
      startSpan('leaf')?.end();
      apart(() => startSpan('apart')?.end());
      await trace('inner', async (span) => span?.set({ a: 1, b: undefined }));
    }),
  );
  const { call, leaf, inner, apart: other } = spans;
  expect(leaf?.parentSpanId).toBe(call?.spanId);
  expect(inner).toMatchObject({ parentSpanId: call?.spanId, traceId: call?.traceId });
  expect(attributesOf(inner)).toEqual({ a: 1 });
  expect(other?.parentSpanId ?? '').toBe('');
  expect(other?.traceId).not.toBe(call?.traceId);
});

it('continues a span elsewhere, and begins a trace that is linked with what has caused it', async () => {
  const { call, later, background } = await spansOf(async () => {
    const kept = await trace('call', async () => currentTrace());
    within(kept, () => startSpan('later')?.end());
    await within(kept, () => trace('background', async () => {}, { isRoot: true }));
  });
  expect(later?.parentSpanId).toBe(call?.spanId);
  expect(background?.traceId).not.toBe(call?.traceId);
  expect(background?.links).toEqual([expect.objectContaining({ spanId: call?.spanId })]);
});

it('goes on with the trace of a caller, and tells others of it', async () => {
  let fields: unknown;
  const { call, over } = await spansOf(() =>
    trace('over', () =>
      trace(
        'call',
        async () => {
          fields = traceFields();
        },
        { kind: 'server', from: (name) => (name === 'traceparent' ? CALLER : undefined) },
      ),
    ),
  );
  expect(call).toMatchObject({ traceId: CALLER.slice(3, 35), parentSpanId: '00f067aa0ba902b7', kind: 2 });
  expect(call?.links).toEqual([expect.objectContaining({ spanId: over?.spanId })]);
  expect(fields).toEqual({ traceparent: `00-${call?.traceId}-${call?.spanId}-01` });
});

it.each([['nonsense'], [`${CALLER}-${'x'.repeat(1000)}`], [['a']], [7], [{}]])(
  'takes a field that names no trace for none: %j',
  async (value) => {
    const { call } = await spansOf(() => trace('call', async () => {}, { from: () => value }));
    expect(call?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(call?.parentSpanId ?? '').toBe('');
  },
);

it('records what the caller records, and nothing else, unless told', async () => {
  const unsampled = `${CALLER.slice(0, -1)}0`;
  const spans = await spansOf(() => trace('call', async () => {}, { from: () => unsampled }));
  expect(spans).toEqual({});
});

it('tells of an error its code and nothing else', async () => {
  const fail = (error: unknown) => () => Promise.reject(error);
  const spans = await spansOf(async () => {
    await trace('ours', fail(new GloveboxError('session_busy', 'canary'))).catch(() => {});
    await trace('other', fail(new Error('canary'))).catch(() => {});
  });
  expect(attributesOf(spans['ours'])).toEqual({ 'error.type': 'session_busy' });
  expect(attributesOf(spans['other'])).toEqual({ 'error.type': 'internal_error' });
  expect(spans['ours']?.status).toEqual({ code: 2 });
  expect(JSON.stringify(receiver.reports)).not.toContain('canary');
});

it('names no session that an owner has named', () => {
  expect(labelOf({ owner: 'a', id: 'gbx_x' })).toBe('gbx_x');
  const label = labelOf({ owner: 'a', id: 'payroll' });
  expect(label).toMatch(/^named_[0-9a-f]{16}$/);
  expect(labelOf({ owner: 'a', id: 'payroll' })).toBe(label);
  expect(labelOf({ owner: 'b', id: 'payroll' })).not.toBe(label);
});

it('sends its headers, compressed if told, and describes the server', async () => {
  await spansOf(() => trace('call', async () => {}), {
    OTEL_EXPORTER_OTLP_HEADERS: 'api-key=canary',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    OTEL_SERVICE_NAME: 'mine',
  });
  const [report] = receiver.reports;
  expect(report).toMatchObject({ path: '/v1/traces', headers: { 'api-key': 'canary', 'content-encoding': 'gzip' } });
  const text = JSON.stringify(report?.body);
  expect(text).toContain('"mine"');
  expect(text).toContain('"1.2.3"');
});

it('sends a report again that a collector cannot take now', async () => {
  receiver.answer = 503;
  await using _telemetry = open();
  await trace('call', async () => {});
  await receiver.received(1);
  receiver.answer = 200;
  await receiver.received(2);
  expect(receiver.reports[1]).toEqual(expect.objectContaining({ body: receiver.reports[0]?.body }));
});

it('warns once of a collector that takes no reports, and tells that it takes them again', async () => {
  receiver.answer = 401;
  await using _telemetry = open({ OTEL_EXPORTER_OTLP_HEADERS: 'api-key=canary' });
  for (let count = 1; count <= 3; count += 1) {
    await trace('call', async () => {});
    await receiver.received(count);
  }
  receiver.answer = 200;
  await trace('call', async () => {});
  await expect.poll(() => log.length).toBe(2);
  expect(log[0]).toMatch(/warn {2}the OpenTelemetry collector takes no reports.*status 401/);
  expect(log[1]).toMatch(/info {2}the OpenTelemetry collector takes reports again/);
  expect(log.join()).not.toContain('canary');
});

it('does not wait for a collector that does not answer when it ends', async () => {
  receiver.answer = 'silent';
  const telemetry = open();
  await trace('call', async () => {});
  await receiver.received(1);
  // Its report may take ten seconds, which is more than this test may.
  await telemetry[Symbol.asyncDispose]();
  expect(isTracing()).toBe(false);
});

it('reports the metrics of the registry under their names, each bucket with its own count', async () => {
  const metrics = new ExecutionMetrics();
  for (const ms of [3, 30, 30]) metrics.count({ code: '' }, { status: 'ok' }, ms);
  {
    await using telemetry = open();
    telemetry.exportMetrics(() => metrics.registry.getMetricsAsJSON());
  }
  const report = receiver.reports.find(({ path }) => path === '/v1/metrics');
  const [scope] = JSON.parse(JSON.stringify(report?.body)).resourceMetrics[0].scopeMetrics;
  const metricOf = (name: string) => scope.metrics.find((metric: { name: string }) => metric.name === name);
  expect(metricOf('glovebox_executions_total').sum).toMatchObject({ isMonotonic: true, dataPoints: [{ asDouble: 3 }] });
  expect(metricOf('glovebox_execution_seconds').unit).toBe('s');
  const [point] = metricOf('glovebox_execution_seconds').histogram.dataPoints;
  expect(point).toMatchObject({ count: 3, sum: 0.063 });
  expect(point.explicitBounds.slice(0, 4)).toEqual([0.005, 0.01, 0.025, 0.05]);
  expect(point.bucketCounts.slice(0, 5)).toEqual([1, 0, 0, 2, 0]);
  expect(point.bucketCounts).toHaveLength(point.explicitBounds.length + 1);
});
