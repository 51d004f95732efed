import { RequestBody } from '../body.ts';
import type { EventStreams } from '../event-streams.ts';
import { idempotencyKey } from '../idempotency.ts';
import type { Route } from '../route.ts';

/** Routes for a call that a stream follows, by the key that it was sent with. */
export function streamRoutes(streams: EventStreams): Route[] {
  return [cancelRoute(streams), inputRoute(streams)];
}

const KEY_OF_CALL = {
  name: 'Idempotency-Key',
  in: 'header',
  required: true,
  description: 'The key of the call.',
  schema: { type: 'string' },
};
/** An input may be silent for as long as its program runs: the longest time of a timer, in milliseconds. */
const SILENCE_MS = 2 ** 31 - 1;

/** Passes the body of a request to the code of a call, as fast as it reads. A body that breaks off cancels the call. */
function inputRoute(streams: EventStreams): Route {
  return {
    method: 'PUT',
    path: '/execute/stream/stdin',
    id: 'sendInput',
    tag: 'Tools',
    summary: 'Send the standard input of a call of POST /execute/stream?stdin=1, by the Idempotency-Key of that call.',
    operation: {
      parameters: [KEY_OF_CALL],
      requestBody: { required: true, content: { '*/*': { schema: { type: 'string', format: 'binary' } } } },
      responses: { 204: { description: 'All was passed on, or the call has ended and needs no more.' } },
    },
    takes: ['bytes'],
    handle: async (c) => {
      const body = new RequestBody(c.req.raw, SILENCE_MS, c.env.incoming);
      try {
        await streams.inputOf(c.get('owner'), idempotencyKey(c)).take(body.chunks(Number.POSITIVE_INFINITY));
        return c.body(null, 204);
      } finally {
        c.set('rest', body.discard());
      }
    },
  };
}

/** Cancels a call at once. Its readers get its result. */
function cancelRoute(streams: EventStreams): Route {
  return {
    method: 'DELETE',
    path: '/execute/stream',
    id: 'cancelStream',
    tag: 'Tools',
    summary: 'Cancel the call that a stream follows, by the Idempotency-Key that it was sent with.',
    operation: {
      parameters: [KEY_OF_CALL],
      responses: { 204: { description: 'It is being cancelled, or has ended. The stream ends with its result.' } },
    },
    handle: (c) => {
      streams.cancel(c.get('owner'), idempotencyKey(c));
      return c.body(null, 204);
    },
  };
}
