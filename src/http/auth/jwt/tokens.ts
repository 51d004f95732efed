import { errors, type JWTPayload, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../../../errors.ts';
import { LOCAL_OWNER } from '../../../sessions/caller.ts';
import type { Answer } from '../auth.ts';
import { endAnswer } from '../end-answer.ts';
import { type Scope, scopesAmong } from '../scopes.ts';
import type { IssuerKeys } from './issuer-keys.ts';

/** Signatures that only the provider can make. With others, whoever can check a token could make one. */
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
/** Seconds by which the clocks of this machine and of the provider may differ. */
const TOLERANCE_S = 30;
/** Interval in milliseconds between two looks at the tokens of open answers. */
const CHECK_INTERVAL_MS = 500;
/** Owners who are remembered because they had a token. */
const MOST_OWNERS = 100_000;
/** Names of owners. They have no spaces, unlike the names that the server itself gives. */
const OWNER = /^[\x21-\x7e]{1,255}$/;

/** Whom a token names, and what it may do. */
export interface TokenHolder {
  readonly owner: string;
  readonly scopes: ReadonlySet<Scope>;
}

export interface TokensOptions {
  readonly keys: IssuerKeys;
  readonly issuer: string;
  /** The values of `aud` of which a token must have one. */
  readonly audiences: readonly string[];
  /** Claim that names the owner. */
  readonly ownerClaim: string;
}

interface OpenAnswer {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly endsAt: number;
}

/**
 * Checks access tokens of an identity provider: JSON Web Tokens as RFC 9068 has them. Answers to a token that has expired are
 * cut off within `CHECK_INTERVAL_MS`; answers to one whose key was revoked, once the keys have been fetched again.
 */
export class Tokens implements Disposable {
  readonly #options: TokensOptions;
  readonly #answers = new Map<Answer, OpenAnswer>();
  readonly #owners = new LRUCache<string, true>({ max: MOST_OWNERS });
  readonly #timer: NodeJS.Timeout;
  #checkedGeneration = 0;

  constructor(options: TokensOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.#endInvalidAnswers(), CHECK_INTERVAL_MS).unref();
  }

  /**
   * Finds the holder of a token.
   * @param answer cut off when the token is no longer valid
   * @throws GloveboxError `unauthorized` with the reason; `issuer_unavailable`
   */
  async holderOf(token: string, answer?: Answer): Promise<TokenHolder> {
    const payload = await this.#verify(token);
    const owner = this.#ownerOf(payload);
    this.#owners.set(owner, true);
    if (answer) {
      this.#answers.set(answer, { token, endsAt: ((payload.exp ?? 0) + TOLERANCE_S) * 1000 });
      answer.once('close', () => this.#answers.delete(answer));
    }
    return { owner, scopes: scopesAmong(scopesOf(payload)) };
  }

  /** Whether an owner has had a token since the start. */
  hasSeen(owner: string): boolean {
    return this.#owners.has(owner);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  async #verify(token: string): Promise<JWTPayload> {
    const { keys, issuer, audiences } = this.#options;
    try {
      const { payload } = await jwtVerify(token, keys.find, {
        issuer,
        audience: [...audiences],
        algorithms: ALGORITHMS,
        clockTolerance: TOLERANCE_S,
        requiredClaims: ['exp'],
      });
      return payload;
    } catch (error) {
      if (error instanceof GloveboxError) throw error;
      if (!(error instanceof errors.JOSEError)) throw error;
      throw invalidToken(this.#describe(error));
    }
  }

  #describe(error: errors.JOSEError): string {
    if (error instanceof errors.JWTExpired) return 'it has expired';
    if (error instanceof errors.JWTClaimValidationFailed) {
      if (error.claim === 'aud') return `it is for another server than ${this.#options.audiences[0]}`;
      if (error.claim === 'iss') return 'another provider has issued it';
      return `its claim "${error.claim}" is missing or does not hold`;
    }
    if (error instanceof errors.JOSEAlgNotAllowed) return 'its signature is of a kind that is not accepted';
    return 'its signature is of no key of the identity provider';
  }

  #ownerOf(payload: JWTPayload): string {
    const { ownerClaim } = this.#options;
    const owner = payload[ownerClaim];
    if (typeof owner === 'string' && OWNER.test(owner) && owner !== LOCAL_OWNER) return owner;
    throw invalidToken(`its claim "${ownerClaim}" names nobody who can own sessions`);
  }

  async #endInvalidAnswers(): Promise<void> {
    if (this.#answers.size === 0) return;
    const now = Date.now();
    for (const [answer, { endsAt }] of this.#answers) if (endsAt <= now) this.#end(answer);
    const { keys } = this.#options;
    await keys.refresh();
    if (keys.generation === this.#checkedGeneration) return;
    this.#checkedGeneration = keys.generation;
    for (const [answer, { token }] of this.#answers) {
      const isInvalid = await this.#verify(token).then(
        () => false,
        (error) => error instanceof GloveboxError && error.code === 'unauthorized',
      );
      if (isInvalid) this.#end(answer);
    }
  }

  #end(answer: Answer): void {
    this.#answers.delete(answer);
    endAnswer(answer);
  }
}

function invalidToken(reason: string): GloveboxError {
  return new GloveboxError('unauthorized', `The token is not valid here: ${reason}.`, {
    hint: 'Log in again at the identity provider; MCP clients do so by themselves.',
  });
}

/** Returns the scopes of a token: of `scope` by RFC 9068, or of `scp`, which some providers have in place of it. */
function scopesOf({ scope, scp }: JWTPayload): string[] {
  return [scope, scp].flatMap((value) => {
    if (typeof value === 'string') return value.split(' ');
    return Array.isArray(value) ? value.filter((name): name is string => typeof name === 'string') : [];
  });
}
