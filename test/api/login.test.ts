import { StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { UnauthorizedError as OldUnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport as OldHttp } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IdentityProvider, startIdentityProvider } from '../support/identity-provider.ts';
import { connectNew, connectOld, runPythonBy, type StockClient } from '../support/mcp-clients.ts';
import { post, runPython } from '../support/rest-client.ts';
import { environment, newStateDir, runCli, type Server, startServer } from '../support/server.ts';

const SETUP_MS = 240_000;
const CALLBACK = 'http://127.0.0.1:9/callback';
const MODERN = '2026-07-28';

let provider: IdentityProvider;
let server: Server;

beforeAll(async () => {
  provider = await startIdentityProvider();
  server = await startServer({
    env: { GLOVEBOX_AUTH: 'jwt', GLOVEBOX_JWT_ISSUER: provider.issuer, GLOVEBOX_POOL_SIZE: '1' },
  });
}, SETUP_MS);
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await provider[Symbol.asyncDispose]();
});

/** What a stock client keeps of its login, in memory. Both generations of the SDK take it. */
class Login {
  readonly redirectUrl = CALLBACK;
  readonly clientMetadata: {
    client_name: string;
    redirect_uris: string[];
    token_endpoint_auth_method: string;
    grant_types: string[];
    scope?: string;
  };
  information: { client_id: string; client_secret?: string } | undefined;
  kept: { access_token: string; token_type: string; refresh_token?: string } | undefined;
  asked: URL | undefined;
  verifier = '';

  constructor(scope?: string) {
    this.clientMetadata = {
      client_name: 'a stock client',
      redirect_uris: [CALLBACK],
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      ...(scope === undefined ? {} : { scope }),
    };
  }

  clientInformation() {
    return this.information;
  }
  saveClientInformation(information: { client_id: string; client_secret?: string }): void {
    this.information = information;
  }
  tokens() {
    return this.kept;
  }
  saveTokens(tokens: { access_token: string; token_type: string; refresh_token?: string }): void {
    this.kept = tokens;
  }
  redirectToAuthorization(url: URL): void {
    this.asked = url;
  }
  saveCodeVerifier(verifier: string): void {
    this.verifier = verifier;
  }
  codeVerifier(): string {
    return this.verifier;
  }
}

const address = () => new URL('/mcp', server.url);

type Connect = (login: Login, answer?: URLSearchParams) => Promise<StockClient>;

const CLIENTS: [string, Connect][] = [
  [
    'v1',
    async (authProvider, answer) => {
      if (answer) await new OldHttp(address(), { authProvider }).finishAuth(answer.get('code') ?? '');
      return await connectOld(new OldHttp(address(), { authProvider }));
    },
  ],
  ...(['legacy', 'auto', { pin: MODERN }] as const).map((mode): [string, Connect] => [
    `v2, ${JSON.stringify(mode)}`,
    async (authProvider, answer) => {
      if (answer) await new StreamableHTTPClientTransport(address(), { authProvider }).finishAuth(answer);
      return await connectNew(new StreamableHTTPClientTransport(address(), { authProvider }), mode);
    },
  ]),
];

/** Connects as a user does: it is refused, the browser goes to the provider, and then it connects. */
async function logIn(connect: Connect, user: string): Promise<{ client: StockClient; login: Login }> {
  provider.user = user;
  const login = new Login();
  const refusal = await connect(login).catch((error: unknown) => error);
  const isAsked = refusal instanceof UnauthorizedError || refusal instanceof OldUnauthorizedError;
  expect(isAsked, String(refusal)).toBe(true);
  if (!login.asked) throw new Error('The client has asked for no login.');
  expect(login.asked.origin).toBe(provider.issuer);
  expect(login.asked.searchParams.get('code_challenge_method')).toBe('S256');
  expect(login.asked.searchParams.get('scope')).toContain('glovebox:run');
  expect(login.asked.searchParams.get('resource')).toBe(`${server.url}/mcp`);
  return { client: await connect(login, await provider.browse(login.asked)), login };
}

const bearer = (token = '') => ({ headers: { authorization: `Bearer ${token}` } });

/** A token for a resource, by hand: registration, login and exchange as RFC 6749, 7591, 7636 and 8707 have them. */
async function tokenFor(resource: string, scope: string, user = 'alice'): Promise<string> {
  provider.user = user;
  const register = { redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none' };
  const send = async (path: string, body: string, type: string) => {
    const headers = { 'content-type': type };
    return await (await fetch(`${provider.issuer}${path}`, { method: 'POST', body, headers })).json();
  };
  const { client_id } = (await send('/reg', JSON.stringify(register), 'application/json')) as { client_id: string };
  const verifier = 'a-verifier-of-forty-three-characters-or-more-1';
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier));
  const shared = { client_id, redirect_uri: CALLBACK, resource };
  const asked = new URL('/auth', provider.issuer);
  const challenge = { code_challenge: Buffer.from(digest).toString('base64url'), code_challenge_method: 'S256' };
  asked.search = new URLSearchParams({ ...shared, ...challenge, response_type: 'code', scope }).toString();
  const code = (await provider.browse(asked)).get('code') ?? '';
  const exchange = { ...shared, code, code_verifier: verifier, grant_type: 'authorization_code' };
  const form = new URLSearchParams(exchange).toString();
  const answer = (await send('/token', form, 'application/x-www-form-urlencoded')) as { access_token: string };
  return answer.access_token;
}

describe.each(CLIENTS)('the stock client %s', (_name, connect) => {
  test('logs in at the provider by itself, and its user owns what it makes', async () => {
    const { client, login } = await logIn(connect, 'alice');
    await using alices = client;
    expect(login.information?.client_id).toBeTruthy();
    const made = await runPythonBy(alices, 'open("whose", "w").write("alice")', { session_id: 'shared' });
    expect(made).toMatchObject({ status: 'ok', session_id: 'shared' });
    const { client: other } = await logIn(connect, 'bob');
    await using bobs = other;
    const looked = await runPythonBy(bobs, 'import os; print(os.path.exists("whose"))', { session_id: 'shared' });
    expect(looked.stdout).toBe('False\n');
    const described = await (await fetch(`${server.url}/server`, bearer(login.kept?.access_token))).json();
    expect(described).toMatchObject({ owner: 'alice', needs_key: true });
  });
});

test('stock clients renew a token that expires, and their calls go on without another login', async () => {
  provider.lifetimeS = 1;
  const logins: ({ name: string } & Awaited<ReturnType<typeof logIn>>)[] = [];
  for (const [name, connect] of CLIENTS) logins.push({ name, ...(await logIn(connect, 'dora')) });
  // Those that are renewed.
  provider.lifetimeS = 600;
  const renew = async ({ name, client, login }: (typeof logins)[number]) => {
    await using own = client;
    const [first, asked] = [login.kept?.access_token, login.asked];
    const statuses = new Set<string>();
    const call = async () => {
      const { status } = await runPythonBy(own, '1', {
        session_id: `of-${logins.findIndex((each) => each.name === name)}`,
      });
      statuses.add(status);
      return login.kept?.access_token === first;
    };
    // The token is accepted for 30 seconds more, by which clocks may differ.
    await expect.poll(call, { timeout: 90_000, interval: 1000 }).toBe(false);
    expect(login.asked, name).toBe(asked);
    expect([...statuses], name).toEqual(['ok']);
  };
  await Promise.all(logins.map(renew));
}, 150_000);

test('a token that the provider has made for another server is refused', async () => {
  const token = await tokenFor('https://other.example', 'glovebox:run');
  const response = await fetch(`${server.url}/sessions`, bearer(token));
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining('for another server') } });
});

test('a token that may read sees the sessions of its user, and runs nothing', async () => {
  const [reads, runs] = [
    await tokenFor(server.url, 'glovebox:read', 'carol'),
    await tokenFor(server.url, 'glovebox:run', 'carol'),
  ];
  await runPython(server, 'pass', { session_id: 'of-carol' }, bearer(runs));
  expect(JSON.stringify(await (await fetch(`${server.url}/sessions`, bearer(reads))).json())).toContain('of-carol');
  const refused = await post(server, '/execute', '{"code": "1"}', bearer(reads));
  expect(refused.status).toBe(403);
  expect(refused.headers.get('www-authenticate')).toContain('error="insufficient_scope", scope="glovebox:run"');
});

test('only a token that may answer, and run nothing, sees questions of code', async () => {
  const statusFor = async (scope: string) =>
    (await fetch(`${server.url}/approvals`, bearer(await tokenFor(server.url, scope)))).status;
  expect(await statusFor('glovebox:approve')).toBe(200);
  expect(await statusFor('glovebox:run')).toBe(403);
  expect(await statusFor('glovebox:run glovebox:approve')).toBe(403);
});

test('only a token that may operate sees what the server needs', async () => {
  const statusFor = async (scope: string) =>
    (await fetch(`${server.url}/metrics`, bearer(await tokenFor(server.url, scope)))).status;
  expect(await statusFor('glovebox:operate')).toBe(200);
  expect(await statusFor('glovebox:run')).toBe(403);
});

test('keys that the provider has replaced are found, and tokens of the old ones are refused in time', async () => {
  const old = await tokenFor(server.url, 'glovebox:read');
  expect((await fetch(`${server.url}/sessions`, bearer(old))).status).toBe(200);
  await provider.rotate();
  const next = await tokenFor(server.url, 'glovebox:read');
  const patience = { timeout: 20_000, interval: 200 };
  const statusOf = async (token: string) => (await fetch(`${server.url}/sessions`, bearer(token))).status;
  await expect.poll(() => statusOf(next), patience).toBe(200);
  expect(await statusOf(old)).toBe(401);
}, 60_000);

test('a login that is not told where cannot be asked for', async () => {
  const refused = async (env: Record<string, string>) =>
    (await runCli(['serve'], environment(newStateDir(), { GLOVEBOX_PORT: '0', GLOVEBOX_AUTH: 'jwt', ...env }))).stderr;
  expect(await refused({})).toContain('GLOVEBOX_JWT_ISSUER');
  expect(await refused({ GLOVEBOX_JWT_ISSUER: 'http://login.example' })).toContain('https://');
  const issuer = { GLOVEBOX_JWT_ISSUER: 'https://login.example' };
  expect(await refused({ ...issuer, GLOVEBOX_HOST: '0.0.0.0' })).toContain('GLOVEBOX_PUBLIC_URL');
});
