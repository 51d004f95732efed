import { createParser as createEventParser } from 'eventsource-parser';

export interface RawEvent {
  readonly event: string;
  readonly data: string;
}

/** Cuts Server-Sent Events out of text as it comes; a comment is an event named `comment`. */
export function createParser(): { take(text: string): RawEvent[] } {
  const events: RawEvent[] = [];
  const parser = createEventParser({
    onEvent: ({ event = 'message', data }) => events.push({ event, data }),
    onComment: (data) => events.push({ event: 'comment', data }),
    onError: (error) => {
      throw error;
    },
  });
  return {
    take: (text) => {
      parser.feed(text);
      return events.splice(0);
    },
  };
}
