import { expect, it } from 'vitest';
import { createLog } from '../log.ts';
import { CollectorHealth } from './collector-health.ts';

const TRACES = new URL('http://collector.example:4318/v1/traces');
const METRICS = new URL('http://collector.example:4318/v1/metrics');

it('a report whose time runs out between two tries is no warning of a collector that has come back meanwhile', () => {
  const log: string[] = [];
  const health = new CollectorHealth(createLog('info', (line) => log.push(line)));
  const triedAt = performance.now();
  health.failed(TRACES, new Error('refused'), triedAt);
  health.answered(TRACES);
  health.failed(METRICS, new Error('refused'), triedAt - 1);
  expect(log).toEqual([
    expect.stringMatching(/takes no reports.*traces/),
    expect.stringMatching(/takes reports again.*traces/),
  ]);
  health.failed(METRICS, new Error('refused'), performance.now());
  expect(log[2]).toMatch(/takes no reports.*metrics/);
});
