import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callTool, type Execution } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

const SESSION = 'commands';
/** A host that nobody has named. */
const REFUSED = '127.0.0.3';
const TRUST = { CURL_CA_BUNDLE: '/workspace/ca.pem', GIT_SSL_CAINFO: '/workspace/ca.pem' };

let web: WebServer;
let server: Server;

beforeAll(async () => {
  web = await startWebServer();
  const hosts = [web.http, web.https].map((port) => `${WEB_HOST}:${port}`);
  server = await startServer({
    env: { GLOVEBOX_IMAGE: 'data', GLOVEBOX_EGRESS: hosts.join(), GLOVEBOX_EGRESS_PRIVATE: '127.0.0.0/8' },
  });
  await callTool(server, 'write_file', { path: 'ca.pem', content: web.certificate, session_id: SESSION });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
});

async function shell(command: string): Promise<Execution> {
  return (await callTool(server, 'run_command', { command, session_id: SESSION, env: TRUST })) as Execution;
}

describe.each(['http', 'https'] as const)('over %s', (scheme) => {
  const at = (path: string) => `${scheme}://${WEB_HOST}:${web[scheme]}${path}`;

  it('curl finds it', async () => {
    expect(await shell(`curl -sS ${at('/hello')}`)).toMatchObject({ stdout: 'hello', stderr: '' });
    const refused = await shell(`curl -sSf ${scheme}://${REFUSED}:81/`);
    expect(refused.exit_code).not.toBe(0);
    expect(refused.web?.refused).toMatchObject([{ host: REFUSED, rule: 'host' }]);
  });

  it('git clones, and says so of a host that it may not reach', async () => {
    const cloned = await shell(`rm -rf cloned; git clone -q ${at('/repo.git')} cloned && cat cloned/file.txt`);
    expect(cloned).toMatchObject({ stdout: 'content\n', stderr: '' });
    const refused = await shell(`git clone -q ${scheme}://${REFUSED}:81/repo.git other`);
    expect(refused).toMatchObject({ exit_code: 128, stderr: expect.stringContaining('403') });
  });
});
