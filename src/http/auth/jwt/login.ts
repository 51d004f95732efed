import type { Log } from '../../../log.ts';
import { Dispatchers, type HostAccess } from '../../../outbound/dispatchers.ts';
import { IssuerKeys, type IssuerKeysOptions } from './issuer-keys.ts';
import { audiencesOf, ProtectedResource } from './resource.ts';
import { Tokens } from './tokens.ts';

export interface LoginOptions {
  /** URL of the identity provider. */
  readonly issuer: string;
  /** Origin by which clients reach this server. */
  readonly publicUrl: string;
  /** The `aud` that a token must have. Default: that of this server's URL. */
  readonly audience?: string | undefined;
  readonly ownerClaim: string;
  /** How this host reaches others. */
  readonly access: HostAccess;
  readonly log: Log;
  readonly times?: IssuerKeysOptions['times'];
}

/** Callers who log in at an identity provider: an OAuth 2.1 resource server, by the MCP specification. */
export interface Login extends AsyncDisposable {
  readonly issuer: string;
  /** Whether the keys of the provider could not be fetched when that was last tried. */
  readonly isFailing: boolean;
  readonly tokens: Tokens;
  readonly resource: ProtectedResource;
}

/** Makes it. The provider is asked with the first token, and need not be there before. */
export function openLogin({ issuer, publicUrl, audience, ownerClaim, access, log, times = {} }: LoginOptions): Login {
  const hosts = new Dispatchers(access);
  const audiences = audience === undefined ? audiencesOf(publicUrl) : [audience];
  const keys = new IssuerKeys({ issuer, hosts, log, times });
  const tokens = new Tokens({ keys, issuer, audiences, ownerClaim });
  return {
    issuer,
    get isFailing() {
      return keys.isFailing;
    },
    tokens,
    resource: new ProtectedResource({ publicUrl, issuer }),
    [Symbol.asyncDispose]: async () => {
      tokens[Symbol.dispose]();
      await hosts.close();
    },
  };
}
