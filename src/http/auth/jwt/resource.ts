import type { GloveboxError } from '../../../errors.ts';
import { SCOPES, type Scope, scopeName } from '../scopes.ts';

/** Where protected resources have their metadata (RFC 9728). */
const WELL_KNOWN = '/.well-known/oauth-protected-resource';
/** Path of MCP, which is a resource of its own for clients that compare its URL with the metadata. */
const MCP_PATH = '/mcp';

export interface ResourceOptions {
  /** Origin by which clients reach this server. */
  readonly publicUrl: string;
  readonly issuer: string;
}

/** The values of `aud` by which a token is for the server at a URL. */
export function audiencesOf(publicUrl: string): string[] {
  return [publicUrl, `${publicUrl}/`, `${publicUrl}${MCP_PATH}`];
}

/** What this server tells those who may log in: where, and for what. */
export class ProtectedResource {
  readonly #options: ResourceOptions;

  constructor(options: ResourceOptions) {
    this.#options = options;
  }

  /** Returns the metadata at a path. Undefined if that is not the path of any. */
  metadataAt(path: string): object | undefined {
    if (path !== WELL_KNOWN && path !== `${WELL_KNOWN}${MCP_PATH}`) return undefined;
    const { publicUrl, issuer } = this.#options;
    const isMcp = path !== WELL_KNOWN;
    return {
      resource: isMcp ? `${publicUrl}${MCP_PATH}` : publicUrl,
      authorization_servers: [issuer],
      // Clients may ask for all that are listed. A client of MCP needs no other.
      scopes_supported: isMcp ? [scopeName('run')] : SCOPES.map(scopeName),
      bearer_methods_supported: ['header'],
      resource_name: 'Glovebox',
    };
  }

  /** Returns the header `WWW-Authenticate` for a refusal (RFC 6750, RFC 9728). @param hasToken whether one was sent */
  challenge({ code }: GloveboxError, path: string, scope: Scope, hasToken: boolean): string {
    const error = code === 'forbidden' ? 'insufficient_scope' : hasToken ? 'invalid_token' : undefined;
    const metadata = `${this.#options.publicUrl}${WELL_KNOWN}${path === MCP_PATH ? MCP_PATH : ''}`;
    return [
      'Bearer realm="glovebox"',
      ...(error ? [`error="${error}"`] : []),
      `scope="${scopeName(scope)}"`,
      `resource_metadata="${metadata}"`,
    ].join(', ');
  }
}
