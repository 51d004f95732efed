import { expect, test } from 'vitest';
import { z } from 'zod';
import { reply, startApiServer } from '../../../../test/support/api-server.ts';
import { statusOf } from './answer.ts';
import { KubernetesClient } from './client.ts';

const anything = { schema: z.unknown() };

test('asks with query, body and credentials, and checks the answer', async () => {
  await using server = await startApiServer({
    credentials: async () => ({ headers: { authorization: 'Bearer t' } }),
    answer: async (request, response) => {
      const body = (await request.toArray()).join('');
      reply(response, 200, { said: body, by: request.headers.authorization, type: request.headers['content-type'] });
    },
  });
  using client = new KubernetesClient(server.access);
  const schema = z.object({ said: z.string(), by: z.string(), type: z.string() });
  const query = { a: 1, b: ['x', 'y'], c: undefined };
  const answer = await client.request('POST', '/p', { schema, query, body: { é: 1 } });
  expect(answer).toEqual({ said: '{"é":1}', by: 'Bearer t', type: 'application/json' });
  expect(server.asked).toEqual(['POST /p?a=1&b=x&b=y']);
});

test('a server that cannot answer for a moment is asked again, when it says so', async () => {
  let calls = 0;
  await using server = await startApiServer({
    answer: (_request, response) => {
      calls += 1;
      if (calls === 1) reply(response, 503, { reason: 'ServiceUnavailable' });
      else if (calls === 2) reply(response, 429, {}, { 'retry-after': '1' });
      else reply(response, 200, {});
    },
  });
  using client = new KubernetesClient(server.access);
  await client.request('GET', '/p', anything);
  expect(calls).toBe(3);
});

test('a change that the server may have begun is not made twice', async () => {
  await using server = await startApiServer({
    answer: (_request, response) => reply(response, 500, { message: 'etcdserver: mvcc: database space exceeded' }),
  });
  using client = new KubernetesClient(server.access);
  await expect(client.request('POST', '/p', { ...anything, body: {} })).rejects.toMatchObject({
    code: 'engine_unavailable',
    hint: "The database of the cluster is full or down: its operator must look at etcd's alarms.",
  });
  expect(server.asked).toHaveLength(1);
});

test('a token that has expired is read anew once', async () => {
  let token = 'old';
  await using server = await startApiServer({
    credentials: async (fresh = false) => {
      if (fresh) token = 'new';
      return { headers: { authorization: token } };
    },
    answer: (request, response) =>
      reply(response, request.headers.authorization === 'new' ? 200 : 401, { message: 'Unauthorized' }),
  });
  using client = new KubernetesClient(server.access);
  await client.request('POST', '/p', anything);
  expect(server.asked).toHaveLength(2);
});

test('credentials that stay refused are told as such', async () => {
  await using server = await startApiServer({
    answer: (_request, response) => reply(response, 401, { message: 'Unauthorized' }),
  });
  using client = new KubernetesClient(server.access);
  const asking = client.request('GET', '/p', anything);
  await expect(asking).rejects.toThrow('The API server does not accept the credentials of a test: Unauthorized.');
  expect(statusOf(await asking.catch((error: unknown) => error))).toBe(401);
  expect(server.asked).toHaveLength(2);
});

test('no answer within the limit is one, and so is a connection that is refused', async () => {
  const server = await startApiServer({});
  using client = new KubernetesClient(server.access);
  await expect(client.request('GET', '/p', { ...anything, timeoutMs: 50 })).rejects.toThrow('no answer in time');
  await server[Symbol.asyncDispose]();
  await expect(client.request('GET', '/p', anything)).rejects.toThrow('ECONNREFUSED');
});

test('a kept connection that the server has closed is no failure', async () => {
  let isBroken = false;
  await using server = await startApiServer({
    answer: (request, response) => {
      if (isBroken) request.socket.destroy();
      else reply(response, 200, {});
      isBroken = !isBroken;
    },
  });
  using client = new KubernetesClient(server.access);
  for (let round = 0; round < 3; round += 1) await client.request('GET', '/p', anything);
  expect(server.asked).toHaveLength(5);
});

test('whoever stops waiting gets their own reason', async () => {
  await using server = await startApiServer({});
  using client = new KubernetesClient(server.access);
  const stopping = new AbortController();
  const asking = client.request('GET', '/p', { ...anything, signal: stopping.signal });
  stopping.abort(new Error('enough'));
  await expect(asking).rejects.toThrow('enough');
});

test('a page of a proxy is not taken for an answer', async () => {
  await using server = await startApiServer({ answer: (_request, response) => response.end('<html>log in</html>') });
  using client = new KubernetesClient(server.access);
  await expect(client.request('GET', '/p', anything)).rejects.toThrow('something that Kubernetes does not');
});
