import type { EventStore, JSONRPCMessage } from '@modelcontextprotocol/server';

interface LoggedEvent {
  readonly id: string;
  readonly streamId: string;
  readonly message: JSONRPCMessage;
  readonly bytes: number;
}

/** Size in bytes of the events of one protocol session: a few large answers, or the progress of many calls. */
const MOST_BYTES = 4 * 1024 * 1024;
/** Number of events of one protocol session. */
const MOST_EVENTS = 1000;

/**
 * The newest events of one protocol session. A client whose connection broke gets those that it missed
 * (`Last-Event-ID`). The oldest events are dropped first. The newest one is always kept, whatever its size.
 */
export class EventLog implements EventStore {
  readonly #events: LoggedEvent[] = [];
  #bytes = 0;
  #count = 0;

  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    this.#count += 1;
    const id = `${streamId}_${this.#count}`;
    const bytes = JSON.stringify(message).length;
    this.#events.push({ id, streamId, message, bytes });
    this.#bytes += bytes;
    while (this.#events.length > 1 && (this.#bytes > MOST_BYTES || this.#events.length > MOST_EVENTS)) {
      this.#bytes -= this.#events.shift()?.bytes ?? 0;
    }
    return id;
  }

  /** Undefined for an unknown event, and for a stream none of whose events are kept. */
  async getStreamIdForEventId(eventId: string): Promise<string | undefined> {
    const { streamId, number } = parseId(eventId);
    const isKnown = number <= this.#count && this.#events.some((event) => event.streamId === streamId);
    return isKnown ? streamId : undefined;
  }

  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const { streamId, number } = parseId(lastEventId);
    const missed = this.#events.filter((event) => event.streamId === streamId && parseId(event.id).number > number);
    for (const { id, message } of missed) await send(id, message);
    return streamId;
  }
}

function parseId(eventId: string): { streamId: string; number: number } {
  const at = eventId.lastIndexOf('_');
  const number = /^\d{1,15}$/.test(eventId.slice(at + 1)) ? Number(eventId.slice(at + 1)) : Number.POSITIVE_INFINITY;
  return { streamId: eventId.slice(0, Math.max(0, at)), number };
}
