import type { SecureContext } from 'node:tls';
import { type Agent, Pool, ProxyAgent } from 'undici';
import { proxyAuthorization } from './proxy.ts';

/** Reaches https hosts through a proxy's CONNECT. */
export function openTunnels(
  proxy: URL,
  { secureContext, pool, timeoutMs }: { secureContext: SecureContext; pool: Agent.Options; timeoutMs: number },
): ProxyAgent {
  const tls = { secureContext, timeout: timeoutMs };
  const { 'proxy-authorization': token } = proxyAuthorization(proxy);
  return new ProxyAgent({
    ...pool,
    uri: proxy.origin,
    // By itself it sends no name without a password.
    ...(token === undefined ? {} : { token }),
    proxyTls: tls,
    requestTls: tls,
    // A proxy that does not answer CONNECT would be waited for by its own default, five minutes.
    clientFactory: (origin, options) => new Pool(origin, { ...options, ...pool, headersTimeout: timeoutMs }),
  });
}
