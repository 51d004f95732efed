import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { send } from './requests.ts';

/** What a call is told by a server that does so. */
async function askOf(listener: RequestListener): Promise<unknown> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    return await send({ url: `http://127.0.0.1:${port}`, key: undefined }, '/execute', { method: 'POST', json: {} });
  } catch (error) {
    return error;
  } finally {
    server.close();
  }
}

test('a server that ended in the midst of a call was said not to be there', async () => {
  const error = await askOf((request) => request.socket.destroy());
  expect(error).toMatchObject({ code: 'engine_unavailable', begun: true, message: expect.stringMatching('went away') });
});

test('a call that reaches no server was not begun', async () => {
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as AddressInfo;
      server.close(() => resolve(free));
    });
  });
  const sent = send({ url: `http://127.0.0.1:${port}`, key: undefined }, '/execute', { method: 'POST', json: {} });
  await expect(sent).rejects.toMatchObject({ code: 'engine_unavailable', begun: false });
});

test('what a server says of a call is passed on whole', async () => {
  const said = { code: 'session_moved', message: 'Moved.', hint: 'Call again.', begun: false, retry_after_s: 5 };
  const error = await askOf((_, response) => response.writeHead(409).end(JSON.stringify({ error: said })));
  expect(error).toMatchObject({
    ...{ code: 'session_moved', begun: false, retryAfterS: 5 },
    hint: 'Call again. Nothing of the call was begun.',
  });
});
