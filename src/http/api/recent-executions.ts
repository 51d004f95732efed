import type { RecentExecution } from '../../sessions/recent-executions.ts';
import type { Sessions } from '../../sessions/sessions.ts';
import type { Route } from '../route.ts';
import { jsonResponse } from './openapi-parts.ts';

const recent = {
  type: 'object',
  properties: {
    execution_id: { type: 'string' },
    session_id: { type: 'string' },
    started_at: { type: 'string', format: 'date-time' },
    status: {
      enum: ['queued', 'running', 'ok', 'error', 'timeout', 'cancelled', 'out_of_memory', 'crashed'],
      description: 'The state, or the status of its end; `error` also if it could not run.',
    },
    background: { type: 'boolean' },
    context: { type: 'string' },
    kind: { enum: ['code', 'command'] },
    code: { type: 'string', description: 'The beginning of its code, or of its command.' },
    stdout: { type: 'string', description: 'The end of its standard output, once it has ended.' },
    stderr: { type: 'string' },
    error: { type: 'string', description: 'Its uncaught exception, or why it could not run.' },
    duration_ms: { type: 'number' },
    queued_ms: { type: 'number' },
    cpu_ms: { type: 'number' },
    peak_memory_bytes: { type: 'integer' },
  },
  required: ['execution_id', 'session_id', 'started_at', 'status', 'background', 'kind', 'code'],
};

function toOutput({ id, sessionId, startedAt, status, isBackground, context, kind, code, end }: RecentExecution) {
  return {
    execution_id: id,
    session_id: sessionId,
    started_at: startedAt.toISOString(),
    status,
    background: isBackground,
    context,
    kind,
    code,
    ...(end && {
      stdout: end.stdout,
      stderr: end.stderr,
      error: end.error,
      duration_ms: end.durationMs,
      queued_ms: end.queuedMs,
      cpu_ms: end.cpuMs,
      peak_memory_bytes: end.peakMemoryBytes,
    }),
  };
}

/** The last executions of the caller, over all sessions, whoever called for them. */
export function recentExecutionsRoute({ sessions }: { readonly sessions: Pick<Sessions, 'recent'> }): Route {
  return {
    method: 'GET',
    path: '/executions',
    id: 'listRecentExecutions',
    tag: 'Executions',
    summary: 'List your last executions since the server started, at most 100.',
    operation: {
      responses: jsonResponse(200, 'The executions, newest first.', {
        type: 'object',
        properties: { executions: { type: 'array', items: recent } },
        required: ['executions'],
      }),
    },
    handle: (c) => c.json({ executions: sessions.recent.of(c.var.owner).map(toOutput) }),
  };
}
