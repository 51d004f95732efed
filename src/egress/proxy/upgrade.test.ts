import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lyingResolver, showing, TestProxy, talk } from '../../../test/support/web-proxy.ts';

let server: Server;
let port: number;

beforeEach(async () => {
  server = createServer((_request, response) => response.end('as before'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

describe('a request for another protocol', () => {
  it.each(['h2c', 'websocket'])('whose answer keeps HTTP ends its connection with that: %s', async (protocol) => {
    const { resolve } = lyingResolver({ 'api.example': [['127.0.0.1']] });
    const host = `api.example:${port}`;
    await using proxy = await TestProxy.open({ patterns: [host], resolve });
    using grant = proxy.grant();
    const got = await talk(
      proxy.port,
      `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n${showing(grant.token)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`,
    );
    expect(got).toContain('as before');
    // Its line in the log comes when the connection no longer counts.
    await vi.waitFor(() => expect(proxy.lines.join('\n')).toMatch(/web request .*outcome=ok/));
    expect(grant.refusals).toEqual([]);
  });
});
