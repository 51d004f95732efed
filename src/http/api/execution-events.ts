import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from 'hono';
import { followSignal } from '../../lib/follow-signal.ts';
import type { Log } from '../../log.ts';
import type { toReadingOutput } from '../../tools/get-execution.ts';
import { reportError } from '../respond.ts';
import type { Env, Route } from '../route.ts';
import { streamEvents } from '../server-sent-events.ts';
import { oneEvent, requestHeader } from './openapi-parts.ts';

/** Interval between two readings of an execution in milliseconds. Each reading starts a process in the sandbox. */
const POLL_INTERVAL_MS = 500;

/** Output of `get_execution`. */
type Reading = ReturnType<typeof toReadingOutput>;
type Offsets = Reading['next'];

export interface ExecutionEventsOptions {
  /** Reads the execution in the path, from the given offsets of its output. */
  readonly read: (c: Context<Env>, offsets: Offsets, signal: AbortSignal) => Promise<Reading>;
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
 * Sends the output of a background execution and its calls of tools as they come, then its `result`. The id of an event has the offsets of
 * both streams, so that an event source that reconnects continues from there.
 */
export function executionEventsRoute(options: ExecutionEventsOptions): Route {
  return {
    method: 'GET',
    path: '/executions/:id/events',
    id: 'watchExecution',
    tag: 'Executions',
    summary: 'Follow a background execution: Server-Sent Events, the last of which is the result.',
    operation: {
      parameters: [idParameter, requestHeader('Last-Event-ID', 'The id of the last event that was received.')],
      responses: {
        200: {
          description: 'Events `stdout`, `stderr` and `tool_call`, then one `result` or `error`.',
          content: { 'text/event-stream': { schema: oneEvent } },
        },
        204: { description: 'The reader with this Last-Event-ID has all events.' },
      },
    },
    handle: (c) => watch(c, options),
  };
}

async function watch(c: Context<Env>, { read, stopping, log, keepAliveMs }: ExecutionEventsOptions): Promise<Response> {
  const last = c.req.header('last-event-id');
  if (last === ENDED) return c.body(null, 204);
  const from = parseId(last);
  // Read before the stream begins, so that an unknown execution is answered with an error status.
  const first = await read(c, from, c.req.raw.signal);
  return streamEvents(c, keepAliveMs, async (send) => {
    using following = followSignal(c.req.raw.signal, stopping);
    const { signal } = following;
    let lastId = `${from.stdout_offset}-${from.stderr_offset}`;
    const write = async (event: string, data: unknown, id: string) => {
      lastId = id;
      await send(event, JSON.stringify(data), id);
    };
    try {
      const again = (offsets: Offsets) => read(c, offsets, signal);
      await write('result', await sendOutput(first, from, again, write, signal), ENDED);
    } catch (thrown) {
      if (signal.aborted) return;
      const error = reportError(thrown, c, log);
      // Of a session that has moved, a reader that reconnects gets the rest from its new holder.
      await write('error', { error: error.toRestBody() }, error.code === 'session_moved' ? lastId : ENDED);
    }
  });
}

/** Sends the new output of each reading until the execution has ended. Returns the last reading. */
async function sendOutput(
  first: Reading,
  from: Offsets,
  read: (offsets: Offsets) => Promise<Reading>,
  write: (event: string, data: unknown, id: string) => Promise<void>,
  signal: AbortSignal,
): Promise<Reading> {
  let sent = from;
  // Those that came while nobody read are told again: they have no place in the ids of events.
  const told = new Set<number>();
  for (let reading = first; ; reading = await read(sent)) {
    const { stdout_offset, stderr_offset } = reading.next;
    if (reading.stdout) await write('stdout', { text: reading.stdout }, `${stdout_offset}-${sent.stderr_offset}`);
    if (reading.stderr) await write('stderr', { text: reading.stderr }, `${stdout_offset}-${stderr_offset}`);
    sent = reading.next;
    for (const { bytes: _, ...call } of reading.tool_calls ?? []) {
      if (!told.has(call.n)) await write('tool_call', call, `${stdout_offset}-${stderr_offset}`);
      told.add(call.n);
    }
    // Long output is read in several parts.
    if (reading.stdout || reading.stderr) continue;
    if (isEnded(reading)) return reading;
    await sleep(POLL_INTERVAL_MS, undefined, { signal });
  }
}

/** Id of the last event. */
const ENDED = 'end';

function isEnded({ status }: Reading): boolean {
  return status !== 'queued' && status !== 'running';
}

/** Reads the id of an event. An invalid id gives the beginning of the output. */
function parseId(id: string | undefined): Offsets {
  const [, stdout = '0', stderr = '0'] = /^(\d{1,15})-(\d{1,15})$/.exec(id ?? '') ?? [];
  return { stdout_offset: Number(stdout), stderr_offset: Number(stderr) };
}
