import { describe, expect, test } from 'vitest';
import { EventStream } from './event-stream.ts';

const never = new AbortController().signal;

/** Data of so many characters, with its number. */
function dataOf(number: number, length: number): string {
  return JSON.stringify(`${number} `.padEnd(length - 2, 'añ日'));
}

/** Reads so many events, then goes away. */
async function read(stream: EventStream, after: number, count: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { data } of stream.read(after, never)) if (found.push(data) === count) break;
  return found;
}

/** Writes events while a reader takes them, and ends. */
async function run(stream: EventStream, events: readonly string[], result: string): Promise<string[]> {
  const reading = read(stream, 0, events.length + 1);
  for (const data of events) await stream.write('stdout', data, never);
  stream.end('result', result);
  return reading;
}

describe('the events of a call', () => {
  test('are read as they were written, and the last ones again, whether short or long', async () => {
    const stream = new EventStream(64 * 1024);
    const events = Array.from({ length: 200 }, (_, n) => dataOf(n, [20, 3000, 11_000, 1500][n % 4] ?? 20));
    const all = [...events, dataOf(200, 5000)];
    expect(await run(stream, events, all.at(-1) ?? '')).toEqual(all);
    const first = all.findIndex((_, after) => stream.has(after));
    expect(all.slice(first).join('').length).toBeGreaterThan(32 * 1024);
    expect(stream.has(0)).toBe(false);
    for (let again = 0; again < 2; again += 1) {
      expect(await read(stream, first, all.length - first)).toEqual(all.slice(first));
    }
  });

  test('are kept for a second reader while the call goes on', async () => {
    const stream = new EventStream(64 * 1024);
    const writing = Array.from({ length: 5 }, (_, n) => stream.write('stdout', dataOf(n, 9000), never));
    expect(await read(stream, 0, 3)).toEqual([0, 1, 2].map((n) => dataOf(n, 9000)));
    expect(await read(stream, 0, 5)).toEqual([0, 1, 2, 3, 4].map((n) => dataOf(n, 9000)));
    stream.end('result', '{}');
    expect(await read(stream, 4, 2)).toEqual([dataOf(4, 9000), '{}']);
    await Promise.all(writing);
  });

  test('that ended have a result of any length for a reader that comes back', async () => {
    const stream = new EventStream(1024);
    const result = dataOf(1, 100_000);
    expect(await run(stream, [], result)).toEqual([result]);
    expect(await read(stream, 0, 1)).toEqual([result]);
  });
});
