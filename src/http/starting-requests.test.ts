import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { StartingRequests } from './starting-requests.ts';

/** A server on a free port whose requests may still have to wait. */
async function start(patienceMs?: number) {
  const requests = new StartingRequests(patienceMs);
  const server = createServer(requests.listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const received = () => new Promise<void>((resolve) => server.once('request', () => resolve()));
  return { requests, url, received, [Symbol.asyncDispose]: async () => void server.close() };
}

const echo: RequestListener = async (request, response) => {
  const body = await Array.fromAsync(request);
  response.end(`${request.method} ${request.url} ${Buffer.concat(body).toString()}`);
};

test('while the server starts, /health says so, and whether it is deep makes no difference', async () => {
  await using server = await start();
  for (const path of ['/health', '/health?deep=1']) {
    const answer = await fetch(server.url + path);
    expect(answer.status).toBe(503);
    expect(await answer.json()).toEqual({ status: 'starting' });
    expect(answer.headers.get('cache-control')).toBe('no-store');
  }
  expect((await fetch(`${server.url}/health`, { method: 'HEAD' })).status).toBe(503);
});

test('other requests wait for the server with their bodies, and later ones go straight to it', async () => {
  await using server = await start();
  const early = fetch(`${server.url}/execute`, { method: 'POST', body: 'code' });
  await server.received();
  server.requests.serve(echo);
  expect(await (await early).text()).toBe('POST /execute code');
  expect(await (await fetch(`${server.url}/health`)).text()).toBe('GET /health ');
});

test('a request whose client has gone is not passed on', async () => {
  await using server = await start();
  const gone = new AbortController();
  const left = fetch(`${server.url}/execute`, { method: 'POST', body: 'code', signal: gone.signal });
  await server.received();
  gone.abort();
  await expect(left).rejects.toThrow();
  const stays = fetch(`${server.url}/tools`);
  await server.received();
  const served: (string | undefined)[] = [];
  server.requests.serve((request, response) => {
    served.push(request.url);
    response.end();
  });
  await stays;
  expect(served).toEqual(['/tools']);
});

test('a request that has waited long is told that the server still starts', async () => {
  await using server = await start(1);
  const answer = await fetch(`${server.url}/execute`, { method: 'POST', body: 'code' });
  expect(answer.status).toBe(503);
  expect(answer.headers.get('connection')).toBe('close');
  expect(await answer.json()).toMatchObject({
    error: { code: 'engine_unavailable', message: 'The server is still starting.' },
  });
});

test('requests that wait for a server which stops before it serves are told that, and so are later ones', async () => {
  await using server = await start();
  const early = fetch(`${server.url}/sessions`);
  await server.received();
  server.requests.stop();
  for (const answer of [await early, await fetch(`${server.url}/sessions`)]) {
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ error: { message: expect.stringContaining('shutting down') } });
  }
});
