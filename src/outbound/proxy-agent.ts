import type { SecureContext } from 'node:tls';
import { type Agent, Pool, ProxyAgent } from 'undici';
import { proxyAuthorization } from './proxy.ts';

/**
 * Makes an agent that reaches https hosts through the CONNECT method of a proxy, and http hosts as the proxy's requests
 * unless the proxy itself is reached over TLS.
 */
export function openTunnels(
  proxy: URL,
  { secureContext, pool, timeoutMs }: { secureContext: SecureContext; pool: Agent.Options; timeoutMs: number },
): ProxyAgent {
  const tls = { secureContext, timeout: timeoutMs };
  const { 'proxy-authorization': token } = proxyAuthorization(proxy);
  return new ProxyAgent({
    ...pool,
    uri: proxy.origin,
    // Many proxies make no tunnels to port 80.
    proxyTunnel: false,
    // By itself, undici does not send a user name without a password.
    ...(token === undefined ? {} : { token }),
    proxyTls: tls,
    requestTls: tls,
    // By default, undici waits five minutes for the answer to CONNECT.
    clientFactory: (origin, options) => new Pool(origin, { ...options, ...pool, headersTimeout: timeoutMs }),
  });
}
