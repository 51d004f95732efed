export interface RawEvent {
  readonly event: string;
  readonly data: string;
}

/** Cuts Server-Sent Events out of text as it comes; a comment is an event named `comment`. */
export function createParser(): { take(text: string): RawEvent[] } {
  let held = '';
  return {
    take: (text) => {
      const blocks = (held + text).split('\n\n');
      held = blocks.pop() ?? '';
      return blocks.map(parseBlock);
    },
  };
}

function parseBlock(block: string): RawEvent {
  const lines = block.split('\n');
  if (lines.every((line) => line.startsWith(':'))) return { event: 'comment', data: block };
  const of = (field: string) =>
    lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).replace(/^ /, ''));
  return { event: of('event')[0] ?? 'message', data: of('data').join('\n') };
}
