import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'hono';
import { followSignal } from '../../lib/follow-signal.ts';
import type { Log } from '../../log.ts';
import type { toReadingOutput } from '../../tools/get-execution.ts';
import { reportError } from '../respond.ts';
import type { Env, Route } from '../route.ts';
import { streamEvents } from '../server-sent-events.ts';
import { oneEvent, requestHeader } from './openapi-parts.ts';

/** Between two looks at an execution: each is a process in its sandbox. */
const LOOK_EVERY_MS = 500;

/** What `get_execution` answers. */
type Look = ReturnType<typeof toReadingOutput>;
type Offsets = Look['next'];

export interface ExecutionEventsOptions {
  /** Looks at the execution that the path names, from these offsets on. */
  readonly look: (c: Context<Env>, offsets: Offsets, signal: AbortSignal) => Promise<Look>;
  readonly stopping: AbortSignal;
  readonly log: Log;
  readonly keepAliveMs: number;
}

export const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^exe_[A-Za-z0-9_-]{12}$' },
};

/**
 * The output of a background execution as it comes, then its `result`. The id of an event says how far both streams were
 * read, so that an event source which comes back goes on from there.
 */
export function executionEventsRoute(options: ExecutionEventsOptions): Route {
  return {
    method: 'GET',
    path: '/executions/:id/events',
    id: 'watchExecution',
    tag: 'Executions',
    summary: 'Watch a background execution: Server-Sent Events, the last of them the result.',
    operation: {
      parameters: [idParameter, requestHeader('Last-Event-ID', 'The id of the last event that came.')],
      responses: {
        200: {
          description: 'Events `stdout` and `stderr`, then one `result` or `error`.',
          content: { 'text/event-stream': { schema: oneEvent } },
        },
        204: { description: 'The reader with this Last-Event-ID has them all.' },
      },
    },
    handle: (c) => watch(c, options),
  };
}

async function watch(c: Context<Env>, { look, stopping, log, keepAliveMs }: ExecutionEventsOptions): Promise<Response> {
  const last = c.req.header('last-event-id');
  if (last === ENDED) return c.body(null, 204);
  const from = parseId(last);
  // Before the stream begins, so that an unknown one is told by its status.
  const first = await look(c, from, c.req.raw.signal);
  return streamEvents(c, keepAliveMs, async (send) => {
    using following = followSignal(c.req.raw.signal, stopping);
    const { signal } = following;
    const write = (event: string, data: unknown, id: string) => send(event, JSON.stringify(data), id);
    try {
      const again = (offsets: Offsets) => look(c, offsets, signal);
      await write('result', await tell(first, from, again, write, signal), ENDED);
    } catch (thrown) {
      if (!signal.aborted) await write('error', { error: reportError(thrown, c, log).toRestBody() }, ENDED);
    }
  });
}

/** Tells what is new at each look until there is nothing more; the last look. */
async function tell(
  first: Look,
  from: Offsets,
  look: (offsets: Offsets) => Promise<Look>,
  write: (event: string, data: unknown, id: string) => Promise<void>,
  signal: AbortSignal,
): Promise<Look> {
  let told = from;
  for (let seen = first; ; seen = await look(told)) {
    const { stdout_offset, stderr_offset } = seen.next;
    if (seen.stdout) await write('stdout', { text: seen.stdout }, `${stdout_offset}-${told.stderr_offset}`);
    if (seen.stderr) await write('stderr', { text: seen.stderr }, `${stdout_offset}-${stderr_offset}`);
    told = seen.next;
    // What is long comes in parts, one after the other.
    if (seen.stdout || seen.stderr) continue;
    if (isEnded(seen)) return seen;
    await sleep(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** The id of the last event. */
const ENDED = 'end';

function isEnded({ status }: Look): boolean {
  return status !== 'queued' && status !== 'running';
}

/** An id that is none begins anew: nothing is run by that. */
function parseId(id: string | undefined): Offsets {
  const [, stdout = '0', stderr = '0'] = /^(\d{1,15})-(\d{1,15})$/.exec(id ?? '') ?? [];
  return { stdout_offset: Number(stdout), stderr_offset: Number(stderr) };
}
