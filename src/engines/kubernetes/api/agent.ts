import http from 'node:http';
import https from 'node:https';
import { type Duplex, PassThrough } from 'node:stream';
import { connect } from 'node:tls';
import { inspect } from 'node:util';
import { proxyAuthorization } from '../../../outbound/proxy.ts';
import type { ClusterAccess } from './access.ts';
import type { Credentials } from './identity.ts';

/** Most connections for requests at once. Those of an exec leave the agent by themselves, because they are upgraded. */
const MOST_CONNECTIONS = 32;
/** Idle connections that are kept open. */
const MOST_IDLE = 8;
/** Time for a proxy to answer, in milliseconds. */
const PROXY_LIMIT_MS = 20_000;

/** Makes the agent of all connections to an API server. */
export function openAgent(access: ClusterAccess, { cert, key }: Credentials): http.Agent {
  const { server, trust, proxy } = access;
  const limits = { keepAlive: true, maxSockets: MOST_CONNECTIONS, maxFreeSockets: MOST_IDLE };
  const tls = { ...trust, ...(cert === undefined ? {} : { cert }), ...(key === undefined ? {} : { key }) };
  const agent = server.protocol === 'http:' ? new http.Agent(limits) : new https.Agent({ ...limits, ...tls });
  if (proxy) throughProxy(agent, server, proxy, tls);
  // Debug logs write out what a request is given. This holds the credentials.
  return Object.assign(agent, { [inspect.custom]: () => 'Agent' });
}

/** Has an agent open its connections through the CONNECT method of a proxy. */
function throughProxy(agent: http.Agent, server: URL, proxy: URL, tls: object): void {
  agent.createConnection = (_options, callback) => {
    const done = callback ?? (() => {});
    openTunnel(server, proxy).then(
      (socket) => {
        if (server.protocol === 'http:') return done(null, socket);
        const secured = connect({ servername: server.hostname, ...tls, socket });
        return done(null, secured);
      },
      (error: Error) => done(error, new PassThrough()),
    );
    return undefined;
  };
}

async function openTunnel(server: URL, proxy: URL): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const port = server.port || (server.protocol === 'https:' ? '443' : '80');
  const client = proxy.protocol === 'https:' ? https : http;
  const request = client.request({
    host: proxy.hostname,
    port: proxy.port || (proxy.protocol === 'https:' ? 443 : 80),
    method: 'CONNECT',
    path: `${server.hostname}:${port}`,
    headers: { host: `${server.hostname}:${port}`, ...proxyAuthorization(proxy) },
    agent: false,
    signal: AbortSignal.timeout(PROXY_LIMIT_MS),
  });
  request.on('connect', ({ statusCode }, socket) => {
    if (statusCode === 200) return resolve(socket);
    socket.destroy();
    return reject(new Error(`the proxy ${proxy.origin} answered ${statusCode} to CONNECT`));
  });
  request.on('response', ({ statusCode }) => reject(new Error(`the proxy ${proxy.origin} answered ${statusCode}`)));
  request.on('error', reject);
  request.end();
  return await promise;
}
