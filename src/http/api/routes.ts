import type { Approvals } from '../../approvals/approvals.ts';
import type { Audit } from '../../audit/audit.ts';
import { describeTool } from '../../tools/description.ts';
import { auditRoute } from '../audited-routes.ts';
import { IdempotencyKeys, idempotent } from '../idempotency.ts';
import { metricsRoute, type ServerMetrics } from '../metrics/metrics.ts';
import type { Route } from '../route.ts';
import { terminalRoutes } from '../terminals/routes.ts';
import { approvalRoutes } from './approvals.ts';
import { createExecute, createExecuteStream, type ExecuteOptions } from './execute.ts';
import { executionRoutes } from './executions.ts';
import { type FilesOptions, fileRoutes } from './files.ts';
import { type Health, healthRoute } from './health.ts';
import { describeApi, describeCall } from './openapi.ts';
import { jsonResponse } from './openapi-parts.ts';
import { recentExecutionsRoute } from './recent-executions.ts';
import { type ServerInfo, serverInfoRoutes } from './server-info.ts';
import { sessionRoutes } from './sessions.ts';
import { snapshotRoutes } from './snapshots.ts';

export interface RestOptions extends ExecuteOptions, FilesOptions {
  readonly version: string;
  readonly health: Health;
  /** Facts for `GET /server` and `GET /doctor`; without them, there are no such routes. */
  readonly serverInfo?: ServerInfo;
  /** Questions to people for `GET /approvals`; without them, there are no such routes. */
  readonly approvals?: Approvals;
  /** Keeps what callers do; without it, nothing is kept. */
  readonly audit?: Audit | undefined;
  /** Metrics for `GET /metrics`; without them, there is no such route. */
  readonly metrics?: ServerMetrics;
}

const ANY_OBJECT = { type: 'object' } as const;

/** All routes of the REST API. */
export function restRoutes(options: RestOptions): Route[] {
  const { tools, version } = options;
  const call = describeCall(tools);
  const stream = createExecuteStream(options);
  const routes: Route[] = [
    healthRoute(options.health),
    ...(options.metrics ? [metricsRoute(options.metrics)] : []),
    ...(options.serverInfo ? serverInfoRoutes(options.serverInfo, version) : []),
    toolsRoute(tools),
    {
      method: 'POST',
      path: '/execute',
      id: 'callTool',
      tag: 'Tools',
      summary: 'Call a tool.',
      operation: call.answer,
      handle: createExecute(options),
    },
    {
      method: 'POST',
      path: '/execute/stream',
      id: 'streamTool',
      tag: 'Tools',
      summary: 'Call a tool and follow it: Server-Sent Events, the last of which is the result.',
      operation: call.stream,
      isStream: true,
      handle: stream.handle,
    },
    ...stream.routes,
    ...sessionRoutes(options),
    ...snapshotRoutes(options),
    recentExecutionsRoute(options),
    ...executionRoutes(options),
    ...fileRoutes(options),
    ...terminalRoutes(options),
    ...(options.approvals ? approvalRoutes(options.approvals) : []),
  ];
  routes.push({
    method: 'GET',
    path: '/openapi.json',
    id: 'describeApi',
    tag: 'Server',
    summary: 'Get the OpenAPI 3.1 description of this API.',
    operation: { responses: jsonResponse(200, 'This description.', ANY_OBJECT) },
    forApprovers: true,
    handle: (c) => c.json(api),
  });
  const api = describeApi(routes, tools, version);
  const keys = options.kept?.keys ?? new IdempotencyKeys();
  const audited = routes.map((route) => auditRoute(route, options.audit));
  return audited.map((route) =>
    // That of streams handles them by itself.
    route.method === 'POST' && !route.isStream ? { ...route, handle: idempotent(route.handle, keys) } : route,
  );
}

function toolsRoute(tools: RestOptions['tools']): Route {
  return {
    method: 'GET',
    path: '/tools',
    id: 'listTools',
    tag: 'Tools',
    summary: 'List the tools, with the JSON Schemas of their input and output.',
    operation: { responses: jsonResponse(200, 'The tools.', ANY_OBJECT) },
    forApprovers: true,
    handle: (c) => c.json({ tools: tools.map(describeTool) }),
  };
}
