import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import { GloveboxError } from '../../../errors.ts';
import { isProtected } from '../../../lib/login/protected-url.ts';
import type { Log } from '../../../log.ts';
import type { Dispatchers } from '../../../outbound/dispatchers.ts';

/** Time in milliseconds for the metadata and the keys of the identity provider together. */
const FETCH_MS = 5000;
/** Age in milliseconds at which keys are fetched again: so long may a key be used that the provider no longer has. */
const FRESH_MS = 300_000;
/** Time in milliseconds after a fetch in which tokens with unknown keys cause no other one. */
const COOLDOWN_MS = 10_000;
/** Time in milliseconds after a failure in which the provider is not asked again. */
const RETRY_MS = 5000;
const MOST_BYTES = 256 * 1024;

const metadataSchema = z.object({ issuer: z.string(), jwks_uri: z.string() });

export interface IssuerKeysOptions {
  /** URL of the identity provider, as `iss` of its tokens has it. */
  readonly issuer: string;
  readonly hosts: Pick<Dispatchers, 'send'>;
  readonly log: Log;
  /** Times in milliseconds, for tests. */
  readonly times?: { readonly freshMs?: number; readonly cooldownMs?: number; readonly retryMs?: number };
}

/**
 * The public keys of an identity provider: found by its metadata (RFC 8414 or OpenID Connect Discovery), fetched with the
 * first token, and again once they are old or a token names an unknown one.
 */
export class IssuerKeys {
  readonly #issuer: string;
  readonly #hosts: Pick<Dispatchers, 'send'>;
  readonly #log: Log;
  readonly #retryMs: number;
  readonly #keys: ReturnType<typeof createRemoteJWKSet>;
  #failure: { readonly error: GloveboxError; readonly until: number } | undefined;
  #generation = 0;

  constructor({ issuer, hosts, log, times: { freshMs, cooldownMs, retryMs } = {} }: IssuerKeysOptions) {
    this.#issuer = issuer;
    this.#hosts = hosts;
    this.#log = log;
    this.#retryMs = retryMs ?? RETRY_MS;
    this.#keys = createRemoteJWKSet(new URL(issuer), {
      cacheMaxAge: freshMs ?? FRESH_MS,
      cooldownDuration: cooldownMs ?? COOLDOWN_MS,
      [customFetch]: async () => await this.#fetch(),
    });
  }

  /** Finds the key of a token. @throws GloveboxError `issuer_unavailable`; errors of `jose` for an unknown key */
  readonly find: JWTVerifyGetKey = async (header, token) => {
    try {
      return await this.#keys(header, token);
    } catch (error) {
      // The set itself was fetched, and is none.
      if (isMalformedSet(error)) throw this.#fail('its keys are no JSON Web Key Set', error);
      throw error;
    }
  };

  /** Counts the fetches that succeeded. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether they could not be fetched when that was last tried. */
  get isFailing(): boolean {
    return this.#failure !== undefined;
  }

  /** Fetches the keys again if they are old. A failure is logged, and the keys stay until tokens need them. */
  async refresh(): Promise<void> {
    if (this.#keys.fresh || this.#keys.reloading || this.#isWaiting()) return;
    await this.#keys.reload().catch(() => {});
  }

  #isWaiting(): boolean {
    return this.#failure !== undefined && Date.now() < this.#failure.until;
  }

  async #fetch(): Promise<Response> {
    if (this.#failure && this.#isWaiting()) throw this.#failure.error;
    try {
      const signal = AbortSignal.timeout(FETCH_MS);
      const text = await this.#read(await this.#findKeysUrl(signal), signal);
      this.#failure = undefined;
      this.#generation += 1;
      return new Response(text);
    } catch (thrown) {
      throw this.#fail(reasonOf(thrown), thrown);
    }
  }

  #fail(reason: string, cause: unknown): GloveboxError {
    const error = new GloveboxError(
      'issuer_unavailable',
      'The keys of the identity provider cannot be fetched, so no token can be checked.',
      {
        hint: 'Try again later. If this goes on, the operator finds the reason in the log; GLOVEBOX_JWT_ISSUER names the provider.',
        retryAfterS: Math.ceil(this.#retryMs / 1000),
        cause,
      },
    );
    this.#failure = { error, until: Date.now() + this.#retryMs };
    this.#log.error('the keys of the identity provider cannot be fetched', { issuer: this.#issuer, reason });
    return error;
  }

  /** Reads the URL of the keys from the first metadata that the provider has. */
  async #findKeysUrl(signal: AbortSignal): Promise<string> {
    let failure: unknown;
    for (const url of metadataUrls(this.#issuer)) {
      try {
        const { issuer, jwks_uri } = metadataSchema.parse(JSON.parse(await this.#read(url, signal)));
        if (issuer !== this.#issuer) throw new Refused(`${url} is about the issuer ${JSON.stringify(issuer)}`);
        if (!isProtected(jwks_uri)) throw new Refused(`${url} names keys at ${jwks_uri}, which is no https:// URL`);
        return jwks_uri;
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }

  async #read(url: string, signal: AbortSignal): Promise<string> {
    const response = await this.#hosts.send(new URL(url), {
      headers: { accept: 'application/json' },
      redirect: 'manual',
      signal,
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new Refused(`${url} answered ${response.status}`);
    }
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of response.body ?? []) {
      bytes += piece.byteLength;
      if (bytes > MOST_BYTES) throw new Refused(`${url} has more than ${MOST_BYTES} bytes`);
      pieces.push(piece);
    }
    const text = Buffer.concat(pieces).toString();
    if (!isJson(text)) throw new Refused(`${url} is no JSON`);
    return text;
  }
}

/** An answer that cannot be used, with the reason for the log. */
class Refused extends Error {}

/** Where the metadata of an issuer may be, by RFC 8414 and by OpenID Connect Discovery. */
function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  const urls = [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}/.well-known/openid-configuration${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
  return [...new Set(urls)];
}

function reasonOf(thrown: unknown): string {
  if (thrown instanceof z.ZodError) return 'its metadata names no issuer or no keys';
  if (!(thrown instanceof Error)) return String(thrown);
  const cause = thrown.cause instanceof Error ? `: ${thrown.cause.message}` : '';
  return `${thrown.message}${cause}`;
}

function isMalformedSet(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_JWKS_INVALID';
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
