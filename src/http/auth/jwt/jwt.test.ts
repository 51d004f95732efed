import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exportSPKI, SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startProtocolServer } from '../../../../test/mcp/protocol-server.ts';
import { type Broken, makeSigner, type Signer, startIssuer } from '../../../../test/support/issuer.ts';
import { createLog } from '../../../log.ts';
import { createAuthenticator, NO_KEYS } from '../auth.ts';
import { addKey } from '../key-file.ts';
import { KeyRing } from '../key-ring.ts';
import { openLogin } from './login.ts';

const PUBLIC = 'https://box.example';
const ALWAYS = { freshMs: 0, cooldownMs: 0, retryMs: 0 };
const lines: string[] = [];
const log = createLog('debug', (line) => lines.push(line));
const now = () => Math.floor(Date.now() / 1000);

type Times = Parameters<typeof openLogin>[0]['times'];

let provider: Awaited<ReturnType<typeof startIssuer>>;
let signer: Signer;
let server: Awaited<ReturnType<typeof open>>;

/** A server whose callers log in at the provider. */
async function open(times: Times = ALWAYS, keys?: KeyRing, proxy: Record<string, string> = {}) {
  const options = { issuer: provider.issuer, publicUrl: PUBLIC, ownerClaim: 'sub', access: { proxy }, log };
  const login = openLogin({ ...options, times });
  const app = { authenticate: createAuthenticator(keys ?? NO_KEYS), login };
  const served = await startProtocolServer({ log, app });
  const close = async () => {
    await served[Symbol.asyncDispose]();
    await login[Symbol.asyncDispose]();
  };
  return { url: served.url, login, [Symbol.asyncDispose]: close };
}

beforeAll(async () => {
  provider = await startIssuer();
  signer = await makeSigner('first');
  provider.publish(signer);
  server = await open();
});
afterEach(() => {
  provider.break(undefined);
  provider.publish(signer);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

const claims = (more: object = {}) => ({
  ...{ iss: provider.issuer, aud: PUBLIC, sub: 'alice', exp: now() + 300, scope: 'glovebox:run' },
  ...more,
});
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const get = (token: string, path = '/sessions', at = server) => fetch(`${at.url}${path}`, bearer(token));
const post = async (path: string, token: string, body: string) => {
  const headers = {
    ...bearer(token).headers,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
  return await fetch(`${server.url}${path}`, { method: 'POST', body, headers });
};
const challengeOf = (response: Response) => response.headers.get('www-authenticate');

describe('a token', () => {
  test.each([
    ['for the URL of the server', {}],
    ['for that URL with a slash', { aud: `${PUBLIC}/` }],
    ['for its MCP', { aud: ['other', `${PUBLIC}/mcp`] }],
    ['that has just expired, by a clock that may be wrong', { exp: now() - 20 }],
    ['with its scopes as a list', { scope: undefined, scp: ['glovebox:read'] }],
  ])('is accepted %s', async (_name, more) => {
    expect((await get(await signer.sign(claims(more)))).status).toBe(200);
  });

  test.each([
    ['for another server', { aud: 'https://other.example' }, 'for another server than https://box.example'],
    ['for none', { aud: undefined }, 'for another server'],
    ['of another provider', { iss: 'https://other.example' }, 'another provider has issued it'],
    ['that has expired', { exp: now() - 40 }, 'it has expired'],
    ['that never expires', { exp: undefined }, '"exp" is missing'],
    ['that is not valid yet', { nbf: now() + 100 }, '"nbf" is missing or does not hold'],
    ['that names nobody', { sub: undefined }, '"sub" names nobody'],
    ['that names the owner of what was made without a key', { sub: 'local' }, '"sub" names nobody'],
    ['that names somebody with a space', { sub: 'alice (approver)' }, '"sub" names nobody'],
  ])('is refused %s', async (_name, more, reason) => {
    const response = await get(await signer.sign(claims(more)));
    expect(response.status).toBe(401);
    expect(challengeOf(response)).toContain('error="invalid_token"');
    const error = { code: 'unauthorized', message: expect.stringContaining(reason) };
    expect(await response.json()).toMatchObject({ error });
  });

  test('of a foreign key is refused, though it names a known one', async () => {
    const foreign = await makeSigner('first');
    expect((await get(await foreign.sign(claims()))).status).toBe(401);
  });

  test('that is signed with the public key as a secret is refused', async () => {
    const secret = new TextEncoder().encode(await exportSPKI(signer.publicKey));
    const token = await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256', kid: 'first' }).sign(secret);
    expect((await get(token)).status).toBe(401);
  });

  test('without a signature is refused', async () => {
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
    expect((await get(`${encode({ alg: 'none' })}.${encode(claims())}.`)).status).toBe(401);
  });

  test('names the owner, whose sessions nobody else sees', async () => {
    const [alice, bob] = [await signer.sign(claims()), await signer.sign(claims({ sub: 'bob' }))];
    const made = await post('/sessions', alice, '{}');
    expect(made.status).toBe(201);
    const { session_id } = (await made.json()) as { session_id: string };
    const idsOf = async (token: string) => JSON.stringify(await (await get(token)).json());
    expect(await idsOf(alice)).toContain(session_id);
    expect(await idsOf(bob)).not.toContain(session_id);
  });
});

describe('a caller without a token', () => {
  test('is told where to log in, and for which scope', async () => {
    const response = await fetch(`${server.url}/mcp`, { method: 'POST', body: '{}' });
    expect(response.status).toBe(401);
    expect(challengeOf(response)).toBe(
      `Bearer realm="glovebox", scope="glovebox:run", resource_metadata="${PUBLIC}/.well-known/oauth-protected-resource/mcp"`,
    );
    expect(challengeOf(await fetch(`${server.url}/sessions`))).toContain('scope="glovebox:read"');
  });

  test.each([
    ['', PUBLIC, ['glovebox:run', 'glovebox:read', 'glovebox:approve', 'glovebox:operate']],
    ['/mcp', `${PUBLIC}/mcp`, ['glovebox:run']],
  ])('reads the metadata of the resource at %j', async (path, resource, scopes) => {
    const response = await fetch(`${server.url}/.well-known/oauth-protected-resource${path}`);
    expect(await response.json()).toMatchObject({
      resource,
      authorization_servers: [provider.issuer],
      scopes_supported: scopes,
    });
  });

  test.each(['gbk_key', 'a.b', ''])('who sends %j as a key is refused', async (key) => {
    expect((await get(key)).status).toBe(401);
  });

  test('gets no other metadata', async () => {
    expect((await fetch(`${server.url}/.well-known/oauth-authorization-server`)).status).toBe(404);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});

const ROUTES: [string, string, string][] = [
  ['GET', '/sessions', 'read'],
  ['POST', '/sessions', 'run'],
  ['DELETE', '/sessions/x', 'run'],
  ['GET', '/health?deep=1', 'run'],
  ['GET', '/sessions/s/terminals/t/attach', 'run'],
  ['POST', '/mcp', 'run'],
  ['GET', '/mcp', 'run'],
  ['GET', '/sse', 'run'],
  ['POST', '/messages', 'run'],
];

describe('a token with a scope', () => {
  const SCOPES = ['read', 'run', 'approve', 'operate'];
  const allows = (scope: string, needed: string) =>
    scope === needed || (needed === 'read' && (scope === 'run' || scope === 'operate'));
  const without = ROUTES.flatMap(([method, path, needed]) =>
    SCOPES.filter((scope) => !allows(scope, needed)).map((scope) => [scope, method, path, needed] as const),
  );

  test.each(without)('glovebox:%s may not %s %s', async (scope, method, path, needed) => {
    const token = await signer.sign(claims({ scope: `openid glovebox:${scope}` }));
    const response = await fetch(`${server.url}${path}`, { method, ...bearer(token) });
    expect(response.status).toBe(403);
    expect(challengeOf(response)).toContain(`error="insufficient_scope", scope="glovebox:${needed}"`);
  });

  test('glovebox:run may do what needs it', async () => {
    const token = await signer.sign(claims());
    expect((await get(token, '/health?deep=1')).status).toBe(200);
    expect((await post('/mcp', token, '{}')).status).toBe(400);
  });

  test('no scope may do nothing', async () => {
    expect((await get(await signer.sign(claims({ scope: 'openid' })))).status).toBe(403);
  });
});

describe('keys that cannot be fetched', () => {
  test.each<[Broken]>([['down'], ['not-json'], ['no-set'], ['enormous'], ['redirect'], ['other-issuer']])(
    'are no reason to refuse a token as wrong: %s',
    async (how) => {
      const token = await signer.sign(claims());
      provider.break(how);
      const response = await get(token);
      expect(response.status).toBe(503);
      expect(response.headers.has('retry-after')).toBe(true);
      const error = { code: 'issuer_unavailable', hint: expect.stringContaining('GLOVEBOX_JWT_ISSUER') };
      expect(await response.json()).toMatchObject({ error });
      expect(lines.at(-1)).toContain('the keys of the identity provider cannot be fetched');
      provider.break(undefined);
      expect((await get(token)).status).toBe(200);
    },
  );

  test('are not asked for again at once', async () => {
    await using patient = await open({ ...ALWAYS, retryMs: 60_000 });
    provider.break('not-json');
    const before = provider.fetches;
    const token = await signer.sign(claims());
    for (let at = 0; at < 5; at += 1) expect((await get(token, '/sessions', patient)).status).toBe(503);
    expect(provider.fetches).toBe(before + 1);
  });
});

test('the provider is reached through the proxy of this host', async () => {
  const seen: string[] = [];
  const proxy = createServer(async (request, response) => {
    seen.push(request.url ?? '');
    const answer = await fetch(request.url ?? '');
    response.writeHead(answer.status).end(await answer.text());
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  await using behind = await open(ALWAYS, undefined, { HTTP_PROXY: address });
  expect((await get(await signer.sign(claims()), '/sessions', behind)).status).toBe(200);
  expect(seen.at(-1)).toBe(`${provider.issuer}/jwks`);
  proxy.closeAllConnections();
  proxy.close();
});

describe('keys that change', () => {
  test('are found when a token names a new one, but not with each token that names none', async () => {
    await using patient = await open({ freshMs: 60_000, cooldownMs: 0 });
    await using slow = await open({ freshMs: 60_000, cooldownMs: 60_000 });
    const old = await signer.sign(claims());
    for (const at of [patient, slow]) expect((await get(old, '/sessions', at)).status).toBe(200);
    const next = await makeSigner('second', 'RS256');
    provider.publish(signer, next);
    const token = await next.sign(claims());
    expect((await get(token, '/sessions', patient)).status).toBe(200);
    const before = provider.fetches;
    for (let at = 0; at < 5; at += 1) expect((await get(token, '/sessions', slow)).status).toBe(401);
    expect(provider.fetches).toBe(before);
  });

  test('end the streams of a token whose key was revoked', async () => {
    const next = await makeSigner('second');
    const stream = await get(await signer.sign(claims()), '/sse');
    expect(stream.status).toBe(200);
    provider.publish(next);
    await expect(stream.text()).rejects.toThrow();
    expect((await get(await signer.sign(claims()))).status).toBe(401);
  });

  test('do not end the streams of a token whose key stays, nor do keys that cannot be fetched', async () => {
    const revoked = await makeSigner('second');
    provider.publish(signer, revoked);
    const token = await signer.sign(claims());
    const reader = (await get(token, '/sse')).body?.getReader();
    const [, messages = ''] = /data: (\S+)/.exec(new TextDecoder().decode((await reader?.read())?.value)) ?? [];
    const goes = await get(await revoked.sign(claims()), '/sse');
    provider.break('down');
    await expect.poll(() => lines.at(-1)).toContain('cannot be fetched');
    provider.publish(signer);
    provider.break(undefined);
    await expect(goes.text()).rejects.toThrow();
    expect((await post(messages, token, '{"jsonrpc": "2.0", "id": 1, "method": "ping"}')).status).toBe(202);
    expect(new TextDecoder().decode((await reader?.read())?.value)).toContain('"id":1');
    await reader?.cancel();
  });
});

test('a stream ends when its token expires', async () => {
  const stream = await get(await signer.sign(claims({ exp: now() - 28 })), '/sse');
  expect(stream.status).toBe(200);
  await expect(stream.text()).rejects.toThrow();
});

test('keys and tokens are accepted beside each other, but not in one request', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-jwt-'));
  const path = join(folder, 'keys.json');
  const { key } = addKey(path, 'bob');
  using keys = KeyRing.open(path, log);
  await using both = await open(ALWAYS, keys);
  const token = await signer.sign(claims());
  expect((await get(key, '/sessions', both)).status).toBe(200);
  expect((await get(token, '/sessions', both)).status).toBe(200);
  const headers = { ...bearer(token).headers, 'x-api-key': key };
  expect((await fetch(`${both.url}/sessions`, { headers })).status).toBe(401);
  rmSync(folder, { recursive: true });
});
