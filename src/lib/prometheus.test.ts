import { expect, test } from 'vitest';
import { Counter, Gauge, Histogram, Registry } from './prometheus.ts';

test('a metric that nothing was counted for yet is described all the same', () => {
  const registry = new Registry();
  registry.add(new Counter('runs_total', 'Runs.'));
  expect(registry.render()).toBe('# HELP runs_total Runs.\n# TYPE runs_total counter\n');
});

test('each set of labels is a sample of its own, in the order in which they came', () => {
  const registry = new Registry();
  const runs = registry.add(new Counter('runs_total', 'Runs.'));
  runs.increment({ kind: 'code', status: 'ok' });
  runs.increment({ kind: 'install', status: 'ok' });
  runs.increment({ kind: 'code', status: 'ok' });
  registry.add(new Gauge('open', 'Open now.')).set(0.25);
  expect(registry.render()).toBe(
    [
      '# HELP runs_total Runs.',
      '# TYPE runs_total counter',
      'runs_total{kind="code",status="ok"} 2',
      'runs_total{kind="install",status="ok"} 1',
      '',
      '# HELP open Open now.',
      '# TYPE open gauge',
      'open 0.25',
      '',
    ].join('\n'),
  );
});

test('a histogram counts cumulatively, a bound with its bucket', () => {
  const registry = new Registry();
  const seconds = registry.add(new Histogram('seconds', 'Time.', [1, 2.5]));
  for (const value of [0.5, 1, 2, 7]) seconds.observe(value, { kind: 'code' });
  expect(registry.render().split('\n').slice(2)).toEqual([
    'seconds_bucket{kind="code",le="1"} 2',
    'seconds_bucket{kind="code",le="2.5"} 3',
    'seconds_bucket{kind="code",le="+Inf"} 4',
    'seconds_sum{kind="code"} 10.5',
    'seconds_count{kind="code"} 4',
    '',
  ]);
});

test('what would end a line or a label is escaped, and numbers that are none are named as Prometheus does', () => {
  const registry = new Registry();
  const gauge = registry.add(new Gauge('odd', 'One\nline, one \\.'));
  gauge.set(Number.NaN, { of: 'a "b"\\\n' });
  gauge.set(Number.NEGATIVE_INFINITY, { of: 'c' });
  expect(registry.render()).toBe(
    [
      '# HELP odd One\\nline, one \\\\.',
      '# TYPE odd gauge',
      'odd{of="a \\"b\\"\\\\\\n"} NaN',
      'odd{of="c"} -Inf',
      '',
    ].join('\n'),
  );
  gauge.clear();
  expect(registry.render()).not.toContain('{');
});
