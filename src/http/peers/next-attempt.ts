import { endUnknown } from '../../peers/client.ts';
import { bodyOf } from '../piece-body.ts';
import type { ErrorEvent } from './given-up.ts';
import { wholeEvents } from './whole-events.ts';

const END = '\n\n';
const ERROR = 'event: error\n';
const DATA = 'data: ';
const COMMENT = ':'.charCodeAt(0);
/** Events that may come before a call begins: the name of its session, and that it waits for its turn. */
const BEFORE_CALL: ReadonlySet<string> = new Set(['session', 'progress']);

type Batches = AsyncGenerator<readonly Uint8Array[], void, undefined>;

/**
 * Passes on the events of a call that another control plane serves. Once that one has given the call up before it began, the
 * events of the next attempt follow.
 * @param again resolves with the answer of the next attempt, undefined if there is none
 */
export async function* untilGivenUp(
  events: AsyncIterable<Uint8Array>,
  again: () => Promise<Response | undefined>,
): Batches {
  let isOpening = true;
  for await (const batch of wholeEvents(events)) {
    if (!isOpening) {
      yield batch;
      continue;
    }
    for (const event of eventsIn(Buffer.concat(batch))) {
      const isGivenUp = isOpening && readError(event)?.given_up === true;
      const next = isGivenUp ? await again() : undefined;
      if (next) return yield* eventsOf(next);
      yield [isGivenUp ? withoutMark(event) : event];
      isOpening &&= isPartOfOpening(event);
    }
  }
}

/** The events of an answer. One that is no stream is an error, which becomes the only event. */
export async function* eventsOf(answer: Response): Batches {
  if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) {
    yield [Buffer.from(`${ERROR}${DATA}${await answer.text()}${END}`)];
    return;
  }
  const pieces = bodyOf(answer);
  try {
    if (pieces) yield* pieces.batches;
    else if (answer.body) yield* wholeEvents(answer.body);
  } catch (cause) {
    yield [Buffer.from(`${ERROR}${DATA}${JSON.stringify({ error: endUnknown(cause).toRestBody() })}${END}`)];
  } finally {
    await pieces?.end();
  }
}

/** Whether an event of a call may come before the call begins. */
export function comesBeforeCall(type: string): boolean {
  return BEFORE_CALL.has(type);
}

function isPartOfOpening(event: Buffer): boolean {
  const [, type] = /^event: (\w+)\n/.exec(event.toString('latin1', 0, 32)) ?? [];
  return event[0] === COMMENT || (type !== undefined && comesBeforeCall(type));
}

/** Takes whole events apart. */
function* eventsIn(events: Buffer): Generator<Buffer, void, undefined> {
  for (let from = 0; from < events.length; ) {
    const end = events.indexOf(END, from);
    const to = end < 0 ? events.length : end + END.length;
    yield events.subarray(from, to);
    from = to;
  }
}

/** The data of an event `error`. Undefined for other events. */
function readError(event: Buffer): ErrorEvent | undefined {
  if (event.toString('latin1', 0, ERROR.length) !== ERROR) return undefined;
  const data = linesOf(event).find(isData);
  return data === undefined ? undefined : (JSON.parse(data.slice(DATA.length)) as ErrorEvent);
}

/** The same event for a caller. */
function withoutMark(event: Buffer): Buffer {
  const error = readError(event)?.error;
  const lines = linesOf(event).map((line) => (isData(line) ? `${DATA}${JSON.stringify({ error })}` : line));
  return Buffer.from(lines.join('\n'));
}

function linesOf(event: Buffer): string[] {
  return event.toString().split('\n');
}

function isData(line: string): boolean {
  return line.startsWith(DATA);
}
