import type { GloveboxFigures } from '../../glovebox.ts';
import type { EventLoopDelay } from '../event-loop.ts';
import type { Route } from '../route.ts';

export interface Figures extends GloveboxFigures {
  readonly eventLoop: EventLoopDelay;
}

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
const BYTES_PER_MIB = 2 ** 20;

type Labels = Readonly<Record<string, string | number>>;
type Sample = readonly [suffix: string, labels: Labels, value: number];

/** `GET /metrics`: figures of the whole server, in Prometheus' text format. They name no owner and no session. */
export function metricsRoute(figures: () => Figures): Route {
  const text = { 'text/plain': { schema: { type: 'string' } } };
  return {
    method: 'GET',
    path: '/metrics',
    id: 'getMetrics',
    tag: 'Server',
    summary: 'Figures of this server for Prometheus.',
    operation: { responses: { 200: { description: 'One sample a line.', content: text } } },
    handle: (c) => c.body(renderMetrics(figures()), 200, { 'Content-Type': CONTENT_TYPE }),
  };
}

export function renderMetrics({ sessions, pool, executions, ended, claimedMb, eventLoop }: Figures): string {
  return [
    metric('sessions', 'gauge', 'Sessions, hibernated ones too.', [['', {}, sessions]]),
    metric('pool_ready', 'gauge', 'Sandboxes ready for new sessions.', [['', {}, pool.ready]]),
    metric('pool_size', 'gauge', 'Sandboxes that are to be ready.', [['', {}, pool.size]]),
    metric('memory_limit_bytes', 'gauge', 'Memory that all sandboxes may take.', [['', {}, claimedMb * BYTES_PER_MIB]]),
    metric('executions_running', 'gauge', 'Executions that have a place.', [['', {}, executions.running]]),
    metric('executions_waiting', 'gauge', 'Executions that wait for one.', [['', {}, executions.waiting]]),
    metric('executions_places', 'gauge', 'Executions that may run at once.', [['', {}, executions.places]]),
    metric('executions_total', 'counter', 'Executions that have ended.', countsOf(ended)),
    metric('event_loop_delay_seconds', 'gauge', 'How long the server kept calls waiting, since the last look.', [
      ...[...eventLoop.quantilesS].map(([quantile, delayS]): Sample => ['', { quantile }, delayS]),
      ['', { quantile: 1 }, eventLoop.maxS],
    ]),
    metric('execution_seconds', 'histogram', 'How long executions ran.', durationsOf(ended)),
  ].join('');
}

function countsOf(ended: Figures['ended']): Sample[] {
  return [...ended].flatMap(([kind, { byStatus }]) =>
    [...byStatus].map(([status, count]): Sample => ['', { kind, status }, count]),
  );
}

/** Buckets of a histogram are cumulative. */
function durationsOf(ended: Figures['ended']): Sample[] {
  return [...ended].flatMap(([kind, { byStatus, secondsInAll, buckets }]) => {
    const all = [...byStatus.values()].reduce((sum, count) => sum + count, 0);
    let below = 0;
    const cumulative = buckets.map(({ atMostS, count }): Sample => {
      below += count;
      return ['_bucket', { kind, le: atMostS }, below];
    });
    return [
      ...cumulative,
      ['_bucket', { kind, le: '+Inf' }, all],
      ['_sum', { kind }, secondsInAll],
      ['_count', { kind }, all],
    ];
  });
}

function metric(name: string, type: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([suffix, labels, value]) => `glovebox_${name}${suffix}${renderLabels(labels)} ${value}\n`);
  return `# HELP glovebox_${name} ${help}\n# TYPE glovebox_${name} ${type}\n${lines.join('')}`;
}

/** Values are of this program's own making: none needs escaping. */
function renderLabels(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
