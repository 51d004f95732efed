import { afterAll, beforeAll, expect, test } from 'vitest';
import { startProtocolServer } from '../../test/mcp/protocol-server.ts';
import { type RawRequest, sendRaw } from '../../test/support/raw-request.ts';

let server: Awaited<ReturnType<typeof startProtocolServer>>;

beforeAll(async () => {
  server = await startProtocolServer({
    app: { allowedHosts: ['box.example'], allowedOrigins: ['https://chat.example'] },
  });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const send = (path: string, sent?: RawRequest) => sendRaw(server.port, path, sent);
const json = { 'content-type': 'application/json' };

test.each(['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example:80', '2130706433'])(
  'a request for host %j is refused',
  async (host) => {
    const { status, json } = await send('/tools', { headers: { host } });
    expect(status).toBe(403);
    expect(json().error).toMatchObject({ code: 'forbidden', hint: expect.stringContaining('ALLOWED_HOSTS') });
  },
);

test.each(['localhost', 'LOCALHOST:1', '[::1]:80', '127.8.8.8', 'box.example:8000'])(
  'a request for host %j is served',
  async (host) => {
    expect((await send('/tools', { headers: { host } })).status).toBe(200);
  },
);

test.each(['https://evil.example', 'null', 'http://localhost.evil.example', 'https://chat.example.evil'])(
  'a page from %s is refused, on every route',
  async (origin) => {
    for (const path of ['/tools', '/mcp', '/sse']) {
      const { status, headers } = await send(path, { headers: { origin } });
      expect(status).toBe(403);
      expect(headers).not.toHaveProperty('access-control-allow-origin');
    }
  },
);

test('the page of this server may call it by any host that is allowed, and no page of another port or scheme', async () => {
  const call = async (origin: string, site?: string) =>
    (
      await send('/tools', {
        headers: { host: 'box.example:8055', origin, ...(site ? { 'sec-fetch-site': site } : {}) },
      })
    ).status;
  expect(await call('http://box.example:8055')).toBe(200);
  expect(await call('https://box.example:8055', 'same-origin')).toBe(200);
  expect(await call('http://box.example:8055', 'cross-site')).toBe(403);
  expect(await call('http://box.example:9000', 'same-site')).toBe(403);
});

test('an image or script of a foreign page is refused, a link to here is not', async () => {
  const foreign = { 'sec-fetch-site': 'cross-site' };
  expect((await send('/health?deep=1', { headers: { ...foreign, 'sec-fetch-mode': 'no-cors' } })).status).toBe(403);
  expect((await send('/', { headers: { ...foreign, 'sec-fetch-mode': 'navigate' } })).status).toBe(200);
});

test.each(['http://localhost:3000', 'https://chat.example'])('a page from %s may ask and read', async (origin) => {
  const preflight = await send('/execute', {
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
  });
  expect(preflight).toMatchObject({
    status: 204,
    headers: {
      'access-control-allow-origin': origin,
      'access-control-allow-headers': 'content-type',
      vary: 'Origin',
    },
  });
  const refused = await send('/execute', { method: 'POST', headers: { origin, ...json }, body: '{}' });
  expect(refused).toMatchObject({ status: 400, headers: { 'access-control-allow-origin': origin } });
});
