import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeSettings } from '../config/describe.ts';
import { addVariables } from './prepare-compose.ts';

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

test('a .env file gets what it does not say, and keeps what it does', () => {
  expect(addVariables('', { DOCKER_GID: '105' })).toBe('DOCKER_GID=105\n');
  const own = '# mine\nexport DOCKER_GID = 7\nOTHER=DOCKER_GID=1';
  expect(addVariables(own, { DOCKER_GID: '105', CA_FILE: '/ca.pem' })).toBe(`${own}\nCA_FILE=/ca.pem\n`);
  expect(addVariables(own, { DOCKER_GID: '105' })).toBe(own);
});

test('the compose file passes every setting on that a user may want, and none that there is not', () => {
  const settings = describeSettings().map(({ variable }) => variable);
  // What a container decides, or the image, or nobody; and what commands ask a server with. Compose runs on Docker, where
  // no servers share sessions.
  const fixed = [
    'STATE_DIR',
    'CACHE_DIR',
    'SETUP',
    'CONTROL_BASE',
    'PROXY_SOCKET',
    'ALSO_PORTS',
    'FIRST_KEY',
    'URL',
    'KEY',
  ].map((name) => `GLOVEBOX_${name}`);
  const passed = [...read('compose.yaml').matchAll(/^ +(GLOVEBOX_\w+):/gm)].map(([, name = '']) => name);
  const ofClusters = /^GLOVEBOX_(ENGINE|STATE|LEASE_S|PEER_\w+|KUBERNETES_\w+)$/;
  const wanted = settings.filter((name) => !fixed.includes(name) && !ofClusters.test(name));
  expect([...new Set(passed)].sort()).toEqual(wanted.sort());
  const behind = [...read('compose.socket-proxy.yaml').matchAll(/^ +(GLOVEBOX_\w+):/gm)].map(([, name = '']) => name);
  expect(settings).toEqual(expect.arrayContaining(behind));
});

test('the image says which version it is of', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  expect(read('Dockerfile')).toContain(`ARG VERSION=${version}\n`);
});
