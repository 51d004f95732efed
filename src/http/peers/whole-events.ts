const END = '\n\n';

/** Passes on a stream of events by whole ones, so that something else may be written after each. */
export async function* wholeEvents(
  stream: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly Uint8Array[], void, undefined> {
  let begun: Uint8Array[] = [];
  for await (const piece of stream) {
    // The end of an event may come in two pieces.
    const before = begun.at(-1)?.subarray(-1) ?? Buffer.alloc(0);
    const at = Buffer.concat([before, piece]).lastIndexOf(END);
    if (at < 0) {
      begun.push(piece);
      continue;
    }
    const end = at + END.length - before.length;
    yield [Buffer.concat([...begun, piece.subarray(0, end)])];
    begun = end < piece.length ? [piece.subarray(end)] : [];
  }
  if (begun.length > 0) yield begun;
}
