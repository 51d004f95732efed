import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Lab } from '../../scripts/kubernetes/lab.ts';
import { RIGHTS } from '../../src/engines/kubernetes/suitability.ts';
import { OwnNamespace } from '../support/cluster-accounts.ts';
import { findLab } from '../support/lab-of.ts';
import { openSession, post, runPython } from '../support/rest-client.ts';
import { type Server, startServer } from '../support/server.ts';
import { makeAdminCertificate, shortenToken } from '../support/short-lived.ts';

/** Seconds that credentials live: a server starts in them, also on a busy machine. */
const LIVES_S = 45;
/** The API server remembers for 10 s that a token was good. */
const PATIENCE = { timeout: 120_000, interval: 1000 };

let lab: Lab;
let namespace: OwnNamespace;
let folder: string;

beforeAll(async () => {
  const found = findLab(process.env['KUBECONFIG'] ?? '');
  if (!found) throw new Error('This is for a lab: unset KUBECONFIG.');
  lab = found;
  namespace = await OwnNamespace.create('credentials');
  folder = mkdtempSync(join(inject('stateRoot'), 'credentials-'));
});

afterAll(async () => {
  await namespace[Symbol.asyncDispose]();
});

/** Starts a server as a user whose credentials are in files. */
async function startAs(user: Record<string, string>): Promise<Server> {
  const config = JSON.parse(namespace.kubeconfigOf(''));
  const file = join(folder, `${Object.keys(user)[0]}.kubeconfig`);
  writeFileSync(file, JSON.stringify({ ...config, users: [{ name: 'u', user }] }));
  return await startServer({ env: { KUBECONFIG: file, GLOVEBOX_POOL_SIZE: '0' } });
}

/** Why no new session can be had. Undefined if one can. */
async function refusal(server: Server): Promise<{ code: string; message: string; hint?: string } | undefined> {
  const answer = await (await post(server, '/sessions', '')).json();
  return (answer as { error?: { code: string; message: string; hint?: string } }).error;
}

/** Credentials run out under a server with a session, which goes on, and are replaced in their files. */
async function expectRenewal(server: Server, replace: () => Promise<void>): Promise<void> {
  const session_id = await openSession(server);
  const inContext = { session_id, context: 'c' };
  await runPython(server, 'x = 7', inContext);
  await expect.poll(async () => (await refusal(server))?.code, PATIENCE).toBe('engine_unavailable');
  expect(await refusal(server)).toMatchObject({
    message: expect.stringMatching(/credentials/),
    hint: expect.stringMatching(/expired/),
  });
  // Its stream was opened before.
  expect((await runPython(server, 'print(x)', inContext)).stdout).toBe('7\n');
  await replace();
  expect(await refusal(server)).toBeUndefined();
  const after = await runPython(server, 'print(x)', inContext);
  expect([after.stdout, after.session_reset]).toEqual(['7\n', undefined]);
}

describe('credentials that run out keep new sessions out until their files are replaced:', { timeout: 240_000 }, () => {
  test.concurrent('the token of a service account', async () => {
    const token = await namespace.account([...RIGHTS, ['namespaces', ['get']]]);
    const tokenFile = join(folder, 'token');
    const write = async (livesS: number) => writeFileSync(tokenFile, await shortenToken(token, livesS, lab.layout));
    await write(LIVES_S);
    await using server = await startAs({ tokenFile });
    await expectRenewal(server, () => write(600));
  });

  test.concurrent('a certificate', async () => {
    const [cert, key] = [join(folder, 'cert'), join(folder, 'key')];
    const write = async (livesS: number) => {
      const made = await makeAdminCertificate(livesS, lab.layout);
      writeFileSync(cert, made.cert);
      writeFileSync(key, made.key);
    };
    await write(LIVES_S);
    await using server = await startAs({ 'client-certificate': cert, 'client-key': key });
    await expectRenewal(server, () => write(600));
  });
});
