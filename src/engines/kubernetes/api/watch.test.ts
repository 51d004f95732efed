import type { ServerResponse } from 'node:http';
import { afterEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { reply, startApiServer } from '../../../../test/support/api-server.ts';
import { createLog } from '../../../log.ts';
import { KubernetesClient } from './client.ts';
import { Watch } from './watch.ts';

const schema = z.object({
  metadata: z.object({ name: z.string(), uid: z.string(), resourceVersion: z.string() }),
  phase: z.string(),
});

function pod(name: string, version: number, phase = 'Pending') {
  return { metadata: { name, uid: `u-${name}`, resourceVersion: `${version}` }, phase };
}

afterEach(() => {
  vi.useRealTimers();
});

/** A server with a list that a test changes, and the watches that are open. */
async function openWatch(items: ReturnType<typeof pod>[]) {
  const state = { items, version: 10, watches: [] as ServerResponse[] };
  const server = await startApiServer({
    answer: (request, response) => {
      if (request.url?.includes('watch=true')) {
        state.watches.push(response);
        response.writeHead(200).flushHeaders();
      } else reply(response, 200, { metadata: { resourceVersion: `${state.version}` }, items: state.items });
    },
  });
  const client = new KubernetesClient(server.access);
  const options = { path: '/pods', labelSelector: 'a=b', schema, log: createLog('error') };
  const watch = await Watch.start(client, options);
  const told: string[] = [];
  watch.onChange((name, now, before) => told.push(`${name}: ${before?.phase} -> ${now?.phase}`));
  const send = (type: string, object: object) => state.watches.at(-1)?.write(`${JSON.stringify({ type, object })}\n`);
  const dispose = async () => {
    watch[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  };
  await vi.waitFor(() => expect(watch.isCurrent).toBe(true));
  return { state, server, watch, told, send, [Symbol.asyncDispose]: dispose };
}

test('knows what there is, and hears of each change', async () => {
  await using opened = await openWatch([pod('a', 9)]);
  const { watch, told, send, server } = opened;
  expect(watch.get('a')?.phase).toBe('Pending');
  const running = watch.waitFor('b', (one) => (one?.phase === 'Running' ? one.metadata.uid : undefined), {
    timeoutMs: 5000,
  });
  send('ADDED', pod('b', 11));
  send('MODIFIED', pod('b', 12, 'Running'));
  expect(await running).toBe('u-b');
  const gone = watch.waitFor('a', (one) => one === undefined || undefined, { timeoutMs: 5000 });
  send('DELETED', pod('a', 13));
  await gone;
  expect(told).toEqual(['b: undefined -> Pending', 'b: Pending -> Running', 'a: Pending -> undefined']);
  expect(watch.values()).toHaveLength(1);
  expect(server.asked).toEqual([
    'GET /pods?labelSelector=a%3Db',
    'GET /pods?labelSelector=a%3Db&watch=true&allowWatchBookmarks=true&timeoutSeconds=60&resourceVersion=10',
  ]);
});

test('a watch that ends goes on from the last version, bookmarks among them', async () => {
  await using opened = await openWatch([]);
  const { state, send, server } = opened;
  send('BOOKMARK', { metadata: { resourceVersion: '40' } });
  state.watches[0]?.end();
  await vi.waitFor(() => expect(state.watches).toHaveLength(2));
  expect(server.asked.at(-1)).toContain('resourceVersion=40');
});

test('what vanished while a version was forgotten is told by the next list', async () => {
  await using opened = await openWatch([pod('a', 5), pod('b', 6)]);
  const { state, send, told, watch } = opened;
  state.items = [pod('b', 50, 'Running'), pod('c', 51)];
  state.version = 60;
  send('ERROR', { kind: 'Status', status: 'Failure', code: 410, reason: 'Expired' });
  await vi.waitFor(() => expect(state.watches).toHaveLength(2));
  expect(told).toEqual(['a: Pending -> undefined', 'b: Pending -> Running', 'c: undefined -> Pending']);
  expect(watch.values().map(({ metadata }) => metadata.name)).toEqual(['b', 'c']);
});

test('a version that the server has forgotten before a watch begins is no failure for ever', async () => {
  let isForgotten = false;
  const lists: string[] = [];
  await using server = await startApiServer({
    answer: (request, response) => {
      const isWatch = request.url?.includes('watch=true');
      if (isWatch && !isForgotten) {
        isForgotten = true;
        reply(response, 410, { kind: 'Status', status: 'Failure', reason: 'Expired', message: 'too old' });
      } else if (isWatch) response.writeHead(200).flushHeaders();
      else {
        lists.push('list');
        reply(response, 200, { metadata: { resourceVersion: '10' }, items: lists.length > 1 ? [pod('a', 9)] : [] });
      }
    },
  });
  const options = { path: '/pods', schema, log: createLog('error') };
  using watch = await Watch.start(new KubernetesClient(server.access), options);
  await vi.waitFor(() => expect(watch.isCurrent).toBe(true), 5000);
  expect(watch.get('a')?.phase).toBe('Pending');
});

test('what waits for a change ends with the watch', async () => {
  await using opened = await openWatch([pod('a', 5)]);
  const waiting = opened.watch.waitFor('a', () => undefined, { timeoutMs: 60_000 });
  opened.watch[Symbol.dispose]();
  await expect(waiting).rejects.toThrow('not watched any more');
});

test('a server that is away for a moment loses nothing', async () => {
  await using opened = await openWatch([pod('a', 5)]);
  const { state, server, watch, send } = opened;
  server.breakAll();
  await vi.waitFor(() => expect(state.watches).toHaveLength(2), 5000);
  expect(watch.get('a')?.phase).toBe('Pending');
  send('MODIFIED', pod('a', 11, 'Failed'));
  await watch.waitFor('a', (one) => one?.phase === 'Failed' || undefined, { timeoutMs: 5000 });
});

test('a wait has a limit, and what the test throws ends it', async () => {
  await using opened = await openWatch([pod('a', 5)]);
  const { watch, send } = opened;
  await expect(watch.waitFor('a', () => undefined, { timeoutMs: 20 })).rejects.toThrow('within 0.02 s');
  const failing = watch.waitFor(
    'a',
    (one) => {
      if (one?.phase === 'Failed') throw new Error('evicted');
      return undefined;
    },
    { timeoutMs: 5000 },
  );
  send('MODIFIED', pod('a', 11, 'Failed'));
  await expect(failing).rejects.toThrow('evicted');
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(watch.waitFor('a', () => undefined, { timeoutMs: 5000, signal })).rejects.toThrow('enough');
});

test('a server that refuses the first list is told', async () => {
  await using server = await startApiServer({
    answer: (_request, response) => reply(response, 403, { message: 'no' }),
  });
  const options = { path: '/pods', schema, log: createLog('error') };
  await expect(Watch.start(new KubernetesClient(server.access), options)).rejects.toThrow('forbids it');
});
