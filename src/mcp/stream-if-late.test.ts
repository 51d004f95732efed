import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { streamIfLate } from './stream-if-late.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const options = { graceMs: 50, keepAliveMs: 1000 };

test('an answer that is there soon is the answer', async () => {
  const soon = Response.json({}, { status: 400 });
  expect(await streamIfLate(Promise.resolve(soon), options)).toBe(soon);
  expect(vi.getTimerCount()).toBe(0);
});

test('a late one becomes the last message of a stream that was kept alive', async () => {
  const late = Promise.withResolvers<Response>();
  const answer = streamIfLate(late.promise, options);
  await vi.advanceTimersByTimeAsync(50);
  const response = await answer;
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const text = response.text();
  await vi.advanceTimersByTimeAsync(1000);
  late.resolve(Response.json({ id: 1 }));
  expect(await text).toBe(': keepalive\n\nevent: message\ndata: {"id":1}\n\n');
  expect(vi.getTimerCount()).toBe(0);
});

test('a late stream is passed on', async () => {
  const late = Promise.withResolvers<Response>();
  const answer = streamIfLate(late.promise, options);
  await vi.advanceTimersByTimeAsync(50);
  late.resolve(new Response('data: 1\n\n', { headers: { 'content-type': 'text/event-stream' } }));
  expect(await (await answer).text()).toBe('data: 1\n\n');
});

test('a call that is torn down ends the stream, and one torn down soon is an error', async () => {
  const late = Promise.withResolvers<Response>();
  const answer = streamIfLate(late.promise, options);
  await vi.advanceTimersByTimeAsync(50);
  const text = (await answer).text();
  late.reject(new Error('closed'));
  expect(await text).toBe('');
  await expect(streamIfLate(Promise.reject(new Error('closed')), options)).rejects.toThrow('closed');
});
