import { Connector, type ConnectorOptions } from './outgoing/connector.ts';
import { WebProxy, type WebProxyOptions } from './proxy/web-proxy.ts';

export { SecretInjector } from './secrets/secret-injector.ts';

/** Opens the proxy of code to the web. */
export function openProxy(options: Omit<WebProxyOptions, 'connector'> & ConnectorOptions): WebProxy {
  return new WebProxy({ ...options, connector: new Connector(options) });
}
