import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OwnNamespace } from '../support/cluster-accounts.ts';
import { environment, newStateDir, runCli } from '../support/server.ts';

const USED = [
  ['pods', ['create', 'delete', 'get', 'list', 'watch']],
  ['pods/exec', ['create', 'get']],
] as const;

let own: OwnNamespace;

beforeAll(async () => {
  own = await OwnNamespace.create('doctor', 'restricted');
});
afterAll(() => own[Symbol.asyncDispose]());

/** Settings of a process that makes sandboxes in the namespace, by an account with these rights. */
async function inCluster(rights: Parameters<OwnNamespace['account']>[0], env: Record<string, string> = {}) {
  const stateDir = newStateDir();
  const kubeconfig = join(stateDir, 'kubeconfig');
  writeFileSync(kubeconfig, own.kubeconfigOf(await own.account(rights)), { mode: 0o600 });
  const { GLOVEBOX_IMAGE = '' } = process.env;
  return environment(stateDir, {
    ...{ KUBECONFIG: kubeconfig, GLOVEBOX_ENGINE: 'kubernetes', GLOVEBOX_IMAGE, GLOVEBOX_PORT: '0' },
    ...{ GLOVEBOX_INDEX_URL: import.meta.dirname, GLOVEBOX_POOL_SIZE: '0', ...env },
  });
}

/** Runs `glovebox doctor`; its lines by what they are about. */
async function examine(env: NodeJS.ProcessEnv) {
  const { code, stdout } = await runCli(['doctor'], env);
  const lines = stdout.matchAll(/^(ok|warn|fail) +(\S+(?: \S+)*) {2,}(.*(?:\n {22}.*)?)$/gm);
  return { code, stdout, levels: Object.fromEntries([...lines].map(([, level, what = '']) => [what, level])) };
}

describe('glovebox doctor in a cluster', () => {
  test('finds all in order with exactly the rights that are used, in a namespace that is strict, and leaves nothing', async () => {
    const { code, stdout, levels } = await examine(await inCluster(USED));
    expect(code, stdout).toBe(0);
    expect(levels).toMatchObject({
      ...{ engine: 'ok', rights: 'ok', namespace: 'warn', admission: 'ok', sandbox: 'ok' },
      ...{ 'seen inside': 'ok', "engine's word": 'ok' },
    });
    expect(stdout).not.toContain('missing:');
    expect(await own.countPods()).toBe(0);
  });

  test('tells each right that an account lacks, with how to get it, and starts no sandbox', async () => {
    const { code, stdout, levels } = await examine(await inCluster([['pods', ['get', 'list', 'watch', 'delete']]]));
    expect(code).toBe(1);
    expect(levels).toMatchObject({ engine: 'ok', rights: 'fail' });
    expect(levels).not.toHaveProperty('sandbox');
    expect(stdout).toMatch(/may not create pods, create pods\/exec, get pods\/exec in .*\n {22}.*kubectl -n/);
  });

  test('tells a RuntimeClass that is not there', async () => {
    const { code, stdout } = await examine(await inCluster(USED, { GLOVEBOX_RUNTIME: 'nonesuch' }));
    expect(code).toBe(1);
    // Without the right to read it, the dry run tells.
    expect(stdout).toMatch(/fail +admission .*RuntimeClass.*nonesuch.*\n {22}.*GLOVEBOX_RUNTIME/);
  });
});

describe('a server in a cluster', () => {
  test('that lacks rights ends with what it lacks, and how to get it', async () => {
    const { code, stderr } = await runCli(['serve'], await inCluster([['pods', ['get', 'list', 'watch', 'create']]]));
    expect(code).toBe(1);
    expect(stderr).toMatch(/may not delete pods, create pods\/exec, get pods\/exec/);
    expect(stderr).toContain('kubectl -n');
    expect(stderr).not.toMatch(/\n {4}at /);
  });
});
