import type { Answer } from './auth.ts';

/** Time in milliseconds for the last event to reach a reader who is slow. */
const LAST_EVENT_MS = 1000;

const LAST_EVENT = `event: error\ndata: ${JSON.stringify({
  error: {
    code: 'unauthorized',
    message: 'The key or token of this request is no longer valid.',
    hint: 'Log in again, or send another key; then take the stream up again.',
  },
})}\n\n`;

/** Answers that are streams of events. */
const streams = new WeakSet<object>();

/** An answer with parts of a server's response that a last event needs. */
interface EventStream extends Answer {
  write(text: string): unknown;
  readonly socket: { destroySoon(): void } | null;
}

/** Notes that an answer is a stream of events, which can say why it ends. */
export function markEventStream(answer: object | undefined): void {
  if (answer && 'write' in answer && 'socket' in answer) streams.add(answer);
}

/** Ends an answer whose key or token is no longer valid: a stream of events with one that says so, others at once. */
export function endAnswer(answer: Answer): void {
  if (!streams.has(answer)) return void answer.destroy();
  const { socket } = answer as EventStream;
  (answer as EventStream).write(LAST_EVENT);
  // What is written reaches the reader. The body has no end of its own: it was broken off.
  socket?.destroySoon();
  setTimeout(() => answer.destroy(), LAST_EVENT_MS).unref();
}
