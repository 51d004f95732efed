import { countApprovals } from './approvals/approval-metrics.ts';
import type { AuditLog } from './audit/audit-log.ts';
import type { Glovebox } from './glovebox.ts';
import type { Login } from './http/auth/jwt/login.ts';
import { CallMetrics } from './http/metrics/call-metrics.ts';
import { watchEventLoop } from './http/metrics/event-loop.ts';
import { ServerMetrics } from './http/metrics/metrics.ts';
import { readProcessFigures } from './http/metrics/process-figures.ts';
import { within } from './lib/deadline.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import { version } from './version.ts';

/** Time for the engine to answer a scrape of metrics, in milliseconds; Prometheus gives ten seconds by default. */
const ENGINE_LIMIT_MS = 5000;

/** What a server over HTTP counts, beside what its core counts by itself. */
export interface HttpMetrics extends Disposable {
  readonly metrics: ServerMetrics;
  readonly calls: CallMetrics;
}

export interface MetricsOptions {
  readonly audit: AuditLog | undefined;
  readonly login: Login | undefined;
  /** Where metrics are reported to as well; default: nowhere. */
  readonly telemetry?: Pick<Telemetry, 'exportMetrics'> | undefined;
}

export function openMetrics(glovebox: Glovebox, { audit, login, telemetry }: MetricsOptions): HttpMetrics {
  const { approvals } = glovebox;
  const { registry } = glovebox.metrics;
  const delays = watchEventLoop();
  const counted = countApprovals(approvals, registry);
  const metrics = new ServerMetrics(registry, {
    engineAnswers: () => engineAnswers(glovebox),
    read: (eventLoop = delays()) => ({
      ...{ ...glovebox.figures, version, process: readProcessFigures(), eventLoop },
      ...{ approvalsWaiting: approvals.pending().length, audit: audit?.figures, isIssuerFailing: login?.isFailing },
    }),
  });
  // Each reader has delays of the event loop of its own: those since it has read last.
  const reported = telemetry && watchEventLoop();
  if (reported) telemetry.exportMetrics(() => metrics.collect(reported()));
  return {
    calls: new CallMetrics(registry),
    metrics,
    [Symbol.dispose]: () => counted[Symbol.dispose](),
  };
}

/** Whether the engine answers in time. */
async function engineAnswers(glovebox: Glovebox): Promise<boolean> {
  const answer = glovebox.health(false).then(
    () => true,
    () => false,
  );
  return (await within(ENGINE_LIMIT_MS, answer)) ?? false;
}
