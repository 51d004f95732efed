import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { toListener } from './app.ts';
import { type Listening, listen } from './listen.ts';
import type { Env } from './route.ts';

const app = () => new Hono<Env>();
const LOOPBACK = { host: '127.0.0.1', port: 0 };

async function serve(serving: Hono<Env>, address: Parameters<typeof listen>[0] = LOOPBACK): Promise<Listening> {
  const listening = await listen(address);
  listening.serve(toListener(serving));
  return listening;
}

test('a port that is taken is an error that says what to do', async () => {
  const first = await listen(LOOPBACK);
  await expect(listen({ host: '127.0.0.1', port: first.port })).rejects.toMatchObject({
    message: `Cannot listen on 127.0.0.1:${first.port}: the port is in use.`,
    hint: expect.stringContaining('--port'),
  });
  await first.close();
});

test('closing lets a request under way end, and cuts off one that does not', async () => {
  const begun = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const release = Promise.withResolvers<void>();
  const serving = app()
    .get('/ends', async (c) => {
      begun[0]?.resolve();
      await release.promise;
      return c.text('done');
    })
    .get('/hangs', async () => {
      begun[1]?.resolve();
      return new Promise<Response>(() => undefined);
    });
  const listening = await serve(serving);
  const [ends, hangs] = ['/ends', '/hangs'].map((path) => fetch(listening.url + path));
  const cutOff = expect(hangs).rejects.toThrow();
  await Promise.all(begun.map(({ promise }) => promise));
  const closed = listening.close(300);
  release.resolve();
  expect(await (await ends)?.text()).toBe('done');
  await closed;
  await cutOff;
});

test('one server listens on several ports, each once, or on none', async () => {
  const free = await listen(LOOPBACK);
  await free.close();
  const serving = app().get('/', (c) => c.text('here'));
  const both = await serve(serving, { host: '127.0.0.1', port: 0, alsoPorts: [free.port, free.port] });
  expect(both.urls).toEqual([both.url, `http://127.0.0.1:${free.port}`]);
  for (const url of both.urls) expect(await (await fetch(url)).text()).toBe('here');
  await both.close();
  for (const url of both.urls) await expect(fetch(url)).rejects.toThrow();
  const taken = await listen(LOOPBACK);
  await expect(listen({ host: '127.0.0.1', port: free.port, alsoPorts: [taken.port] })).rejects.toThrow(
    'the port is in use',
  );
  await (await listen({ host: '127.0.0.1', port: free.port })).close();
  await taken.close();
});
