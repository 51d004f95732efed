import { once } from 'node:events';
import http, { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import type { ClusterAccess } from '../../src/engines/kubernetes/api/access.ts';

/** What becomes of a request: it passes, its answer is lost, or it never gets there. */
type Fate = 'passes' | 'answer lost' | 'lost';

export interface ApiProxy extends AsyncDisposable {
  /** Access to the cluster by way of the proxy. */
  readonly access: ClusterAccess;
  /** Decides of each request from now on. What is under way goes on. */
  decide(fate: (request: { readonly method: string; readonly url: string }) => Fate): void;
  /** Cuts the line: nothing gets through, and what is under way breaks. */
  cut(): void;
  /** Lets all pass again. */
  mend(): void;
}

/** A line to the API server of a cluster that breaks as a test says. */
export async function startApiProxy(access: ClusterAccess): Promise<ApiProxy> {
  const { headers, cert, key } = await access.credentials();
  const agent = new https.Agent({
    ...access.trust,
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    keepAlive: true,
  });
  let fateOf: (request: { method: string; url: string }) => Fate = () => 'passes';
  const forward = (request: IncomingMessage, response: ServerResponse) => {
    const { method = 'GET', url = '/' } = request;
    const fate = fateOf({ method, url });
    if (fate === 'lost') return void request.socket.destroy();
    const sent = { ...request.headers, ...headers, host: access.server.host };
    const target = new URL(url, access.server);
    const onward = https.request(target, { method, agent, headers: sent as http.OutgoingHttpHeaders });
    onward.on('error', () => request.socket.destroy());
    onward.on('response', (answer) => {
      if (fate === 'answer lost') {
        answer.resume();
        request.socket.destroy();
        return;
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      pipeline(answer, response, () => onward.destroy());
    });
    request.pipe(onward);
  };
  const server = createServer(forward);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    access: {
      ...access,
      server: new URL(`http://127.0.0.1:${port}`),
      trust: {},
      credentials: async () => ({ headers: {} }),
    },
    decide: (fate) => {
      fateOf = fate;
    },
    cut: () => {
      fateOf = () => 'lost';
      server.closeAllConnections();
    },
    mend: () => {
      fateOf = () => 'passes';
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      agent.destroy();
    },
  };
}
