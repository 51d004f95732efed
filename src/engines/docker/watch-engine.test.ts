import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import Dockerode from 'dockerode';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { watchEngine } from './watch-engine.ts';

/** Answers to the call for events; undefined while there was none. */
let events: ServerResponse | undefined;
let answer: (response: ServerResponse) => void;
let asked: string[];
const engine = createServer((request, response) => {
  asked.push(decodeURIComponent(request.url ?? ''));
  events = response;
  answer(response);
});

beforeEach(async () => {
  asked = [];
  answer = (response) => response.flushHeaders();
  await new Promise<void>((resolve) => engine.listen(0, '127.0.0.1', resolve));
});
afterEach(async () => {
  engine.closeAllConnections();
  await new Promise((resolve) => engine.close(resolve));
});

/** Watches the engine; `changed` resolves once it is another. */
async function watch(signal = new AbortController().signal) {
  const { port } = engine.address() as AddressInfo;
  const { promise, resolve } = Promise.withResolvers<void>();
  const isWatched = await watchEngine(
    new Dockerode({ protocol: 'http', host: '127.0.0.1', port, version: 'v1.41' }),
    resolve,
    signal,
  );
  return { isWatched, changed: promise };
}

test('an engine that ends is another', async () => {
  const { isWatched, changed } = await watch();
  expect(isWatched).toBe(true);
  engine.closeAllConnections();
  await changed;
});

test('one that loads other settings is another', async () => {
  const { changed } = await watch();
  expect(asked).toEqual([expect.stringContaining('/events?filters={"event":["reload"]}')]);
  events?.write('{"Type":"daemon","Action":"reload"}\n');
  await changed;
});

test('the end of its watcher ends the connection', async () => {
  const watcher = new AbortController();
  await watch(watcher.signal);
  const closed = new Promise((resolve) => events?.once('close', resolve));
  watcher.abort();
  await closed;
});

test.each([403, 404, 500])('one that answers %d cannot be watched, and is used', async (status) => {
  answer = (response) => response.writeHead(status).end('{"message":"no"}');
  expect((await watch()).isWatched).toBe(false);
});

test('one that does not answer is told', async () => {
  answer = (response) => response.destroy();
  await expect(watch()).rejects.toMatchObject({ code: 'engine_unavailable' });
});
