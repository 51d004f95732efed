import { expect, test } from 'vitest';
import { startProtocolServer } from '../../../test/mcp/protocol-server.ts';
import type { ServerInfo } from './server-info.ts';

const INFO: ServerInfo = {
  limits: { memory_mb: 256 },
  needsKey: true,
  cacheBytes: () => 5,
  cacheLimitBytes: 10,
  missing: () => ['swap limit'],
  examine: async () => [],
};
const authenticate = async ({ headers }: Request) => {
  const owner = headers.get('x-api-key');
  return owner === null ? undefined : { owner };
};
const headers = { 'x-api-key': 'alice' };

test('GET /server says who the caller is, and what holds for it', async () => {
  await using server = await startProtocolServer({ app: { serverInfo: INFO, authenticate } });
  expect(await (await fetch(`${server.url}/server`, { headers })).json()).toEqual({
    version: '0.0.0',
    owner: 'alice',
    needs_key: true,
    limits: { memory_mb: 256 },
    missing: ['swap limit'],
    package_cache: { bytes: 5, limit_bytes: 10 },
  });
  expect((await fetch(`${server.url}/server`)).status).toBe(401);
});

test('GET /doctor examines the server once for callers who ask at the same time, or soon after', async () => {
  let examined = 0;
  const examine = async () => {
    examined += 1;
    return [['warn', 'swap limit', 'has no effect', 'Enable it.']] as const;
  };
  await using server = await startProtocolServer({ app: { serverInfo: { ...INFO, examine }, authenticate } });
  const ask = async () => await (await fetch(`${server.url}/doctor`, { headers })).json();
  const answers = [...(await Promise.all([ask(), ask()])), await ask()];
  for (const answer of answers) {
    expect(answer).toEqual({
      findings: [{ level: 'warn', what: 'swap limit', said: 'has no effect', next: 'Enable it.' }],
    });
  }
  expect(examined).toBe(1);
  expect((await fetch(`${server.url}/doctor`)).status).toBe(401);
});
