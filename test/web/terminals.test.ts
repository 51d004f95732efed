import { afterAll, beforeAll, it } from 'vitest';
import { openSession } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { TerminalClient } from '../support/terminal-client.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

let web: WebServer;
let server: Server;

beforeAll(async () => {
  web = await startWebServer();
  server = await startServer({
    env: { GLOVEBOX_EGRESS: `${WEB_HOST}:${web.http}`, GLOVEBOX_EGRESS_PRIVATE: '127.0.0.0/8' },
  });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
});

it('a terminal reaches the hosts that are named, and no others', async () => {
  const session = await openSession(server);
  const path = `/sessions/${session}/terminals`;
  const opened = await fetch(`${server.url}${path}`, { method: 'POST' });
  const { terminal_id: id } = (await opened.json()) as { terminal_id: string };
  await using viewer = await TerminalClient.attach(server.url, `${path}/${id}`);
  const fetching = (url: string) => `python3 -c "import urllib.request as u; print(u.urlopen('${url}').read())"\r`;
  viewer.type(fetching(`http://${WEB_HOST}:${web.http}/hello`));
  await viewer.until("b'hello'");
  viewer.type(fetching('http://127.0.0.3:81/'));
  await viewer.until('HTTP Error 403');
});
