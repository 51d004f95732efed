import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { nodeEnvironment } from '../clients/environments.ts';

const SCOPES = ['glovebox:run', 'glovebox:read', 'glovebox:approve', 'glovebox:operate'];

/** What is used of `oidc-provider`, which brings no types. */
interface Provider {
  readonly Grant: new (of: {
    accountId?: string;
    clientId: unknown;
  }) => {
    addOIDCScope(scope: string): void;
    addResourceScope(resource: string, scope: string): void;
    save(): Promise<string>;
  };
  callback(): RequestListener;
  interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>;
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object, how: object): Promise<void>;
}

interface Interaction {
  readonly prompt: {
    readonly name: string;
    readonly details: { readonly missingResourceScopes?: Readonly<Record<string, readonly string[]>> };
  };
  readonly params: { readonly client_id: unknown };
  readonly session?: { readonly accountId: string };
}

type ProviderClass = new (issuer: string, configuration: object) => Provider;

/** A real identity provider on loopback, with dynamic registration and PKCE. Whoever asks is logged in at once. */
export interface IdentityProvider extends AsyncDisposable {
  readonly issuer: string;
  /** Who logs in next. */
  user: string;
  /** Time in seconds that tokens made from now on are valid. */
  lifetimeS: number;
  /** Replaces the keys: tokens of the old ones can no longer be checked. */
  rotate(): Promise<void>;
  /** Follows a login as a browser does, without an earlier login. Returns what the client is called back with. */
  browse(url: URL): Promise<URLSearchParams>;
}

export async function startIdentityProvider(): Promise<IdentityProvider> {
  const folder = await nodeEnvironment('packages-identity-provider.json');
  const main = join(folder, 'node_modules/oidc-provider/lib/index.js');
  const { default: Made }: { default: ProviderClass } = await import(pathToFileURL(main).href);
  let provider: Provider | undefined;
  const server = createServer((request, response) => {
    if (!provider) return void response.writeHead(503).end();
    if (!request.url?.startsWith('/interaction/')) return void provider.callback()(request, response);
    void interact(provider, started.user, request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const started: IdentityProvider = {
    issuer,
    user: 'alice',
    lifetimeS: 600,
    rotate: async () => {
      provider = new Made(
        issuer,
        configuration(await newKey(), () => started.lifetimeS),
      );
    },
    browse,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  await started.rotate();
  return started;
}

async function newKey(): Promise<JWK> {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: crypto.randomUUID() };
}

function configuration(key: JWK, lifetimeS: () => number): object {
  return {
    clients: [],
    jwks: { keys: [key] },
    cookies: { keys: ['a test'] },
    scopes: ['openid', 'offline_access', ...SCOPES],
    pkce: { required: () => true },
    // Browsers send no Origin here, and nobody else does.
    clientBasedCORS: () => false,
    findAccount: (_: unknown, accountId: string) => ({ accountId, claims: async () => ({ sub: accountId }) }),
    interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    issueRefreshToken: async (_: unknown, client: { grantTypeAllowed(type: string): boolean }) =>
      client.grantTypeAllowed('refresh_token'),
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_: unknown, resource: string) => ({
          scope: SCOPES.join(' '),
          audience: resource,
          accessTokenFormat: 'jwt',
          accessTokenTTL: lifetimeS(),
        }),
        useGrantedResource: () => true,
      },
    },
  };
}

/** Logs in and agrees, as a person does on the pages of a provider. */
async function interact(provider: Provider, user: string, request: IncomingMessage, response: ServerResponse) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    const result = { login: { accountId: user } };
    return await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  }
  const grant = new provider.Grant({
    ...(session ? { accountId: session.accountId } : {}),
    clientId: params.client_id,
  });
  // Clients register for the scopes that they ask for, which are then scopes of the provider, too.
  grant.addOIDCScope(['openid', 'offline_access', ...SCOPES].join(' '));
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {}))
    grant.addResourceScope(resource, scopes.join(' '));
  const result = { consent: { grantId: await grant.save() } };
  return await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

async function browse(url: URL): Promise<URLSearchParams> {
  const cookies = new Map<string, string>();
  let at = url;
  for (let steps = 0; steps < 20; steps += 1) {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(at, { redirect: 'manual', headers: { cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) throw new Error(`The login ended with ${response.status}: ${await response.text()}`);
    at = new URL(location, at);
    if (at.searchParams.has('code')) return at.searchParams;
    if (at.searchParams.has('error')) throw new Error(`The login was refused: ${at.search}`);
  }
  throw new Error('The login did not end.');
}
