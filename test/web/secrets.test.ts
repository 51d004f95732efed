import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readBindings } from '../../src/secrets/binding.ts';
import { setSecret } from '../../src/secrets/changes.ts';
import { runPython } from '../support/rest-client.ts';
import { newStateDir, type Server, startServer } from '../support/server.ts';
import { startWebServer, WEB_HOST, type WebServer } from '../support/web-server.ts';

const PATIENCE = { timeout: 120_000 };
const PASSWORD = `canary-${randomBytes(12).toString('hex')}`;
const BASIC = `Basic ${Buffer.from(`git:${PASSWORD}`).toString('base64')}`;

let web: WebServer;
let server: Server;

beforeAll(async () => {
  // It lets in who has the password, and tells everybody what they have sent.
  web = await startWebServer((request, response) => {
    if (request.headers.authorization === BASIC && request.url !== '/who') return false;
    response.statusCode = request.url === '/who' ? 200 : 401;
    response.end(`you sent ${request.headers.authorization}, which is ${PASSWORD}`);
    return true;
  });
  const stateDir = newStateDir();
  const certificate = join(stateDir, 'certificate.pem');
  writeFileSync(certificate, web.certificate);
  const hosts = [`${WEB_HOST}:${web.https}`];
  setSecret({ stateDir }, { name: 'GIT' }, PASSWORD, readBindings({ hosts, headers: [], queries: [], users: ['git'] }));
  server = await startServer({
    stateDir,
    env: {
      GLOVEBOX_IMAGE: 'data',
      GLOVEBOX_EGRESS: `${WEB_HOST}:${web.https}`,
      GLOVEBOX_EGRESS_PRIVATE: WEB_HOST,
      SSL_CERT_FILE: certificate,
    },
  });
});

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await web?.[Symbol.asyncDispose]();
});

const CLIENTS: Readonly<Record<string, (url: string) => string>> = {
  git: (url) =>
    `import subprocess; subprocess.run("git clone -q ${url}/repo.git r && cat r/file.txt", shell=True, check=True)`,
  curl: (url) => `import subprocess; subprocess.run("curl -sS ${url}/hello ${url}/who", shell=True, check=True)`,
  requests: (url) =>
    `import requests; print(requests.get("${url}/hello").text, requests.get("${url}/who", auth=("me", "mine")).text)`,
  pandas: (url) => `import pandas; print(pandas.read_csv("${url}/table.csv").sum().sum())`,
};
const EXPECTED: Readonly<Record<string, string>> = { git: 'content', curl: 'hello', requests: 'hello', pandas: '10' };

test.each(Object.keys(CLIENTS))('%s gets what only the secret opens, and never the secret', PATIENCE, async (name) => {
  const code = CLIENTS[name]?.(`http://${WEB_HOST}:${web.https}`) ?? '';
  const result = await runPython(server, code);
  expect(result).toMatchObject({ status: 'ok' });
  expect(result.stdout).toContain(EXPECTED[name]);
  if (code.includes('/who')) expect(result.stdout).toContain('you sent Basic [secret GIT], which is [secret GIT]');
  for (const trace of [PASSWORD.slice(7, 20), BASIC.slice(10, 30)]) expect(JSON.stringify(result)).not.toContain(trace);
});
