import { once } from 'node:events';
import { createServer as createProxy } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocketServer } from 'ws';
import { z } from 'zod';
import { makeCertificate } from '../../../../test/support/certificate.ts';
import type { ClusterAccess } from './access.ts';
import { KubernetesClient } from './client.ts';
import { openExec } from './exec.ts';

const trusted = makeCertificate(['DNS:api.example', 'IP:127.0.0.1']);
const client = makeCertificate(['DNS:client.example']);
/** Who asked, by their certificate. */
let asked: (string | undefined)[] = [];
let tunnels: string[] = [];

const server = createServer({ ...trusted, requestCert: true, rejectUnauthorized: false }, (request, response) => {
  const { socket } = request;
  if (socket instanceof TLSSocket) asked.push(socket.getPeerCertificate().subjectaltname);
  response.end('{}');
});
const sockets = new WebSocketServer({ noServer: true });
server.on('upgrade', (request, socket, head) => sockets.handleUpgrade(request, socket, head, (one) => one.close()));
const proxy = createProxy();
proxy.on('connect', (request, socket) => {
  tunnels.push(`${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
  if (request.url?.startsWith('denied')) return socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  const there = connect(portOf(server), '127.0.0.1', () => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    there.pipe(socket).pipe(there);
  });
  return undefined;
});

beforeEach(async () => {
  asked = [];
  tunnels = [];
  for (const one of [server, proxy]) {
    one.listen(0, '127.0.0.1');
    await once(one, 'listening');
  }
});
afterEach(() => {
  for (const one of [server, proxy]) {
    one.closeAllConnections();
    one.close();
  }
});

function portOf(of: { address(): AddressInfo | string | null }): number {
  const address = of.address();
  return typeof address === 'object' && address ? address.port : 0;
}

function open(access: Partial<ClusterAccess>) {
  return new KubernetesClient({
    server: new URL(`https://127.0.0.1:${portOf(server)}`),
    source: 'a test',
    namespace: 'n',
    trust: { ca: trusted.cert },
    proxy: undefined,
    credentials: async () => ({ headers: {}, ...client }),
    ...access,
  });
}

async function ask(access: Partial<ClusterAccess>): Promise<void> {
  using api = open(access);
  await api.request('GET', '/version', { schema: z.object({}) });
}

test('shows its certificate, to a server whose authority the cluster names', async () => {
  await ask({});
  expect(asked).toEqual(['DNS:client.example']);
  await expect(ask({ trust: {} })).rejects.toThrow('self-signed certificate');
  await expect(ask({ trust: { ca: trusted.cert, servername: 'other.example' } })).rejects.toThrow('altname');
  await ask({ trust: { ca: trusted.cert, servername: 'api.example' } });
  await ask({ trust: { rejectUnauthorized: false } });
});

test('a certificate that is replaced is shown from the next request on', async () => {
  const next = makeCertificate(['DNS:next.example']);
  let current = client;
  using api = open({ credentials: async () => ({ headers: {}, ...current }) });
  const schema = z.object({});
  await api.request('GET', '/version', { schema });
  current = next;
  await api.request('GET', '/version', { schema });
  expect(asked).toEqual(['DNS:client.example', 'DNS:next.example']);
});

test('reaches a server through a proxy, requests and execs alike', async () => {
  const url = new URL(`http://user:secret@127.0.0.1:${portOf(proxy)}`);
  const access = { server: new URL('https://api.example:6443'), proxy: url };
  using api = open(access);
  await api.request('GET', '/version', { schema: z.object({}) });
  const target = { namespace: 'n', pod: 'p', container: 'c', command: ['true'] };
  const exec = await openExec(api, target);
  exec.destroy();
  expect(asked).toEqual(['DNS:client.example']);
  const authorization = `Basic ${Buffer.from('user:secret').toString('base64')}`;
  expect(tunnels).toContain(`api.example:6443 ${authorization}`);
});

test('a proxy that refuses is told', async () => {
  const access = { server: new URL('https://denied.example'), proxy: new URL(`http://127.0.0.1:${portOf(proxy)}`) };
  await expect(ask(access)).rejects.toThrow('answered 403 to CONNECT');
  expect(tunnels).toEqual(['denied.example:443']);
});
