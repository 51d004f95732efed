import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import type { HostAccess } from '../../outbound/dispatchers.ts';
import { UpstreamHosts, watchAnswers } from './fetch.ts';

const folder = mkdtempSync(join(tmpdir(), 'glovebox-broker-tls-'));
afterAll(() => rmSync(folder, { recursive: true }));
const [caFile, keyFile] = [join(folder, 'ca.pem'), join(folder, 'key.pem')];
const hasOpenssl =
  spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...[
      '-subj',
      '/CN=test',
      '-addext',
      'subjectAltName=IP:127.0.0.1,DNS:mcp.example',
      '-keyout',
      keyFile,
      '-out',
      caFile,
    ],
  ]).status === 0;

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/** A server over TLS that says whose credentials it got. */
const listenTls = () =>
  listen(
    createTlsServer({ key: readFileSync(keyFile), cert: readFileSync(caFile) }, (request, response) =>
      response.end(
        `${request.method} ${request.url} ${request.headers.authorization} ${request.headers['proxy-authorization']}`,
      ),
    ),
  );

function open(access: HostAccess) {
  const hosts = new UpstreamHosts(access);
  onTestFinished(() => hosts.close());
  return hosts.fetchFor(1000, () => {});
}

const init = { method: 'POST', body: '{}', headers: { authorization: 'Bearer x' } };

it.skipIf(!hasOpenssl)('trusts the authorities of this host, and no others', async () => {
  const url = `https://127.0.0.1:${await listenTls()}/mcp`;
  expect(await (await open({ caFile, proxy: {} })(url, init)).text()).toBe('POST /mcp Bearer x undefined');
  await expect(open({ proxy: {} })(url, init)).rejects.toMatchObject({
    cause: { code: expect.stringContaining('SELF_SIGNED') },
  });
});

it.skipIf(!hasOpenssl)(
  'goes through the proxy of this host, which gets its own credentials and no others',
  async () => {
    const port = await listenTls();
    const seen: string[] = [];
    const proxy = createServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers['proxy-authorization']}`);
      response.end('by the proxy');
    });
    proxy.on('connect', (request, socket) => {
      seen.push(`CONNECT ${request.url} ${request.headers['proxy-authorization']} ${request.headers.authorization}`);
      const onward = connect(port, '127.0.0.1');
      for (const [one, to] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        one.on('error', () => to.destroy());
        one.pipe(to);
      }
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
    });
    const address = `http://u:p@127.0.0.1:${await listen(proxy)}`;
    const fetch = open({ caFile, proxy: { HTTPS_PROXY: address, HTTP_PROXY: address, NO_PROXY: '127.0.0.1' } });
    expect(await (await fetch('https://mcp.example/mcp', init)).text()).toBe('POST /mcp Bearer x undefined');
    expect(await (await fetch('http://mcp.example/mcp', init)).text()).toBe('by the proxy');
    const own = `Basic ${btoa('u:p')}`;
    expect(seen).toEqual([`CONNECT mcp.example:443 ${own} undefined`, `POST http://mcp.example/mcp ${own}`]);
    expect(await (await fetch(`https://127.0.0.1:${port}/direct`, init)).text()).toContain('/direct');
    expect(seen).toHaveLength(2);
  },
);

it('stops reading where an answer is too large, compressed or not', async () => {
  const { gzipSync } = await import('node:zlib');
  const bomb = gzipSync('x'.repeat(10_000_000));
  const port = await listen(
    createServer((_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb)),
  );
  let hasExceeded = false;
  const watch = {
    bytes: 100_000,
    exceed: () => {
      hasExceeded = true;
    },
    begin: () => {},
    end: () => {},
  };
  const fetch = open({ proxy: {} });
  const reading = watchAnswers(watch, async () => await (await fetch(`http://127.0.0.1:${port}/`, init)).text());
  await expect(reading).rejects.toThrow('The answer is too large.');
  expect(hasExceeded).toBe(true);
});
