import { SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import { defaultResource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { expect, it } from 'vitest';
import { GloveboxError } from '../errors.ts';
import { RecordedSpan } from './recorded-span.ts';

const IDS = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' };

function start({ isSampled = true } = {}): { span: RecordedSpan; ended: ReadableSpan[] } {
  const ended: ReadableSpan[] = [];
  const span = new RecordedSpan(
    {
      resource: defaultResource(),
      instrumentationScope: { name: 'test' },
      processor: { onEnd: (one) => void ended.push(one) },
    },
    {
      name: 'call',
      kind: SpanKind.SERVER,
      spanContext: { ...IDS, traceFlags: isSampled ? TraceFlags.SAMPLED : TraceFlags.NONE },
      parentSpanContext: undefined,
      links: [],
      isSampled,
    },
  );
  return { span, ended };
}

it('has the last value of each attribute, and none without a value', () => {
  const { span } = start();
  span.set({ a: 1, b: 'x', c: undefined });
  span.set({ a: 2, b: undefined });
  expect(span.attributes).toEqual({ a: 2, b: 'x' });
});

it('is handed over once, as it was when it ended', () => {
  const { span, ended } = start();
  span.rename('GET /health');
  span.end();
  span.end();
  span.rename('other');
  span.set({ late: true });
  span.fail(new Error());
  expect(ended).toEqual([span]);
  expect(span).toMatchObject({ name: 'GET /health', attributes: {}, status: { code: SpanStatusCode.UNSET } });
});

it('is handed over only if its trace is recorded', () => {
  const { span, ended } = start({ isSampled: false });
  span.end();
  expect(ended).toEqual([]);
});

it('takes as long as its work on a clock that is never set back, from the time of day at its start', async () => {
  const before = Date.now();
  const { span } = start();
  await new Promise((resolve) => setImmediate(resolve));
  span.end();
  const ms = ([s, ns]: [number, number]) => s * 1000 + ns / 1e6;
  expect(ms(span.startTime)).toBeGreaterThanOrEqual(before);
  expect(ms(span.endTime) - ms(span.startTime)).toBeCloseTo(ms(span.duration), 2);
  expect(ms(span.duration)).toBeGreaterThan(0);
});

it('tells of an error its code', () => {
  const { span } = start();
  span.fail(new GloveboxError('file_not_found', 'private'));
  span.end();
  expect(span).toMatchObject({
    status: { code: SpanStatusCode.ERROR },
    attributes: { 'error.type': 'file_not_found' },
  });
});
