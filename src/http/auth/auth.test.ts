import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startProtocolServer } from '../../../test/mcp/protocol-server.ts';
import { type RawRequest, sendRaw } from '../../../test/support/raw-request.ts';
import { createLog } from '../../log.ts';
import { createAuthenticator } from './auth.ts';
import { addKey } from './key-file.ts';
import { KeyRing } from './key-ring.ts';

const directory = mkdtempSync(join(tmpdir(), 'glovebox-auth-'));
const path = join(directory, 'keys.json');
const [alice, bob] = [addKey(path, 'alice').key, addKey(path, 'bob').key];
const lines: string[] = [];
const log = createLog('debug', (line) => lines.push(line));
const asked: boolean[] = [];
let healthy = true;
let server: Awaited<ReturnType<typeof startProtocolServer>>;
let keys: KeyRing;

beforeAll(async () => {
  keys = KeyRing.open(path, log);
  const health = async (deep: boolean) => {
    asked.push(deep);
    return { ok: healthy, body: { status: healthy ? 'ok' : 'unavailable', engine: 'details' } };
  };
  server = await startProtocolServer({ log, app: { authenticate: createAuthenticator(keys), health } });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  keys[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

const send = (route: string, sent?: RawRequest) => sendRaw(server.port, route, sent);
const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

describe('a key', () => {
  test.each([
    ['Authorization: Bearer', bearer(alice)],
    ['Authorization: bearer', { authorization: `bearer  ${alice}` }],
    ['X-API-Key', { 'x-api-key': alice }],
    ['both, if they agree', { ...bearer(alice), 'x-api-key': alice }],
    ["X-API-Key, beside a proxy's own Authorization", { authorization: 'Basic eDp5', 'x-api-key': alice }],
  ])('is sent as %s', async (_how, headers) => {
    expect((await send('/sessions', { headers })).status).toBe(200);
  });

  const ROUTES: [string, string][] = [
    ['GET', '/'],
    ['GET', '/tools'],
    ['GET', '/openapi.json'],
    ['GET', '/sessions'],
    ['POST', '/sessions'],
    ['GET', '/sessions/x'],
    ['DELETE', '/sessions/x'],
    ['POST', '/execute'],
    ['POST', '/execute/stream'],
    ['POST', '/health'],
    ['GET', '/health/'],
    ['GET', '/mcp'],
    ['POST', '/mcp'],
    ['DELETE', '/mcp'],
    ['GET', '/sse'],
    ['POST', '/messages'],
    ['OPTIONS', '/mcp'],
    ['GET', '/nowhere'],
  ];

  test.each(ROUTES)('that is missing or wrong makes no difference to anyone: %s %s', async (method, route) => {
    const answers = await Promise.all(
      [
        {},
        bearer('gbk_wrong'),
        { 'x-api-key': 'wrong' },
        { authorization: 'Basic eDp5' },
        { authorization: 'Bearer' },
        bearer(`${alice} ${bob}`),
        { ...bearer(alice), 'x-api-key': bob },
        { 'x-api-key': `${alice}, ${alice}` },
      ].map((headers) => send(route, { method, headers })),
    );
    for (const { status, headers, text } of answers) {
      expect(status).toBe(401);
      expect(text).toBe(answers[0]?.text);
      expect(headers['www-authenticate']).toBe('Bearer realm="glovebox"');
    }
    expect(answers[0]?.json().error).toMatchObject({
      code: 'unauthorized',
      hint: expect.stringMatching(/Authorization: Bearer.*X-API-Key.*glovebox key new <name>/),
    });
  });

  test('is not needed for a preflight, and a page may read that one is', async () => {
    const origin = { origin: 'http://localhost:3000' };
    const preflight = await send('/mcp', {
      method: 'OPTIONS',
      headers: { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-api-key' },
    });
    expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-headers': 'x-api-key' } });
    const refused = await send('/mcp', { method: 'POST', headers: origin });
    expect(refused.headers).toMatchObject({ 'access-control-allow-origin': 'http://localhost:3000' });
    expect(refused.headers['access-control-expose-headers']).toContain('WWW-Authenticate');
  });

  test('gives no one else’s sessions', async () => {
    const made = await send('/sessions', { method: 'POST', headers: bearer(alice) });
    const id = made.json().session_id;
    const foreign = await send(`/sessions/${id}`, { headers: bearer(bob) });
    const unknown = await send('/sessions/gbx_never', { headers: bearer(bob) });
    expect(foreign.status).toBe(404);
    expect(foreign.json().error).toEqual(unknown.json().error);
  });

  test('gives no answer that a cache could hand to another', async () => {
    for (const route of ['/sessions', '/tools', '/nowhere', '/health']) {
      const { headers } = await send(route, { headers: { 'x-api-key': alice } });
      expect(headers['cache-control']).toBe('no-store');
    }
  });

  test('is asked for by no authorization server', async () => {
    for (const route of ['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp']) {
      expect((await send(route)).status).toBe(404);
    }
  });

  test('is in no log line', () => {
    expect(lines.join('')).not.toContain(alice.slice(4));
    expect(lines.join('')).not.toContain(bob.slice(4));
  });
});

describe('GET /health', () => {
  test('tells everyone whether the server works, and holders of a key the rest', async () => {
    expect((await send('/health')).json()).toEqual({ status: 'ok' });
    expect(await send('/health', { method: 'HEAD' })).toMatchObject({ status: 200, text: '' });
    expect((await send('/health', { headers: bearer(alice) })).json()).toMatchObject({ engine: 'details' });
    expect((await send('/health', { headers: bearer('wrong') })).status).toBe(401);
  });

  test('runs no code for callers without a key, and asks the engine for all of them once', async () => {
    asked.length = 0;
    await Promise.all(Array.from({ length: 20 }, () => send('/health?deep=1')));
    expect(asked.length).toBeLessThanOrEqual(2);
    expect(asked).not.toContain(true);
  });

  test('is a 503 without details when the server does not work', async () => {
    healthy = false;
    await expect.poll(async () => (await send('/health')).status, { timeout: 5000 }).toBe(503);
    expect((await send('/health')).json()).toEqual({ status: 'unavailable' });
  });
});
