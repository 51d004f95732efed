import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GROUP_RIGHTS, RIGHTS } from '../../src/engines/kubernetes/suitability.ts';
import { OwnNamespace } from '../support/cluster-accounts.ts';
import { environment, newStateDir, runCli, startServer } from '../support/server.ts';
import { installRecords } from '../support/session-records.ts';

let own: OwnNamespace;
let kubeconfig: string;

beforeAll(async () => {
  own = await OwnNamespace.create('group', 'restricted');
  await installRecords(own.admin);
  kubeconfig = join(newStateDir(), 'kubeconfig');
  const token = await own.account([...RIGHTS, ...GROUP_RIGHTS]);
  writeFileSync(kubeconfig, own.kubeconfigOf(token), { mode: 0o600 });
});
afterAll(() => own[Symbol.asyncDispose]());

function inGroup(env: Record<string, string> = {}) {
  return {
    ...{ KUBECONFIG: kubeconfig, GLOVEBOX_STATE: 'cluster', GLOVEBOX_INSTANCE: 'shared', GLOVEBOX_POOL_SIZE: '0' },
    ...{ GLOVEBOX_ARCHIVES: 'directory', GLOVEBOX_LEASE_S: '20', ...env },
  };
}

async function membersAt(url: string): Promise<string[]> {
  const { control_planes: members } = (await (await fetch(`${url}/health`)).json()) as {
    control_planes: { name: string }[];
  };
  return members.map(({ name }) => name);
}

test('servers of one name in one cluster know of each other, with the rights that are told and no others', async () => {
  await using one = await startServer({ env: inGroup() });
  const two = await startServer({ env: inGroup() });
  await expect.poll(() => membersAt(one.url)).toHaveLength(2);
  const [first = '', second = ''] = await membersAt(one.url);
  expect(await membersAt(two.url)).toEqual([second, first]);
  await two.stop();
  expect(await membersAt(one.url)).toEqual([first]);
});

test('what is no server does not join a group, and says so', async () => {
  const stateDir = newStateDir();
  const { code, stderr } = await runCli(['stdio'], environment(stateDir, inGroup()));
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/GLOVEBOX_STATE is cluster.*\n.*glovebox serve/);
});

test('a cluster whose servers may not share sessions is refused at the start, with what to do', async () => {
  const lesser = join(newStateDir(), 'kubeconfig');
  writeFileSync(lesser, own.kubeconfigOf(await own.account(RIGHTS)), { mode: 0o600 });
  const env = environment(newStateDir(), inGroup({ KUBECONFIG: lesser, GLOVEBOX_PORT: '0' }));
  const { code, stderr } = await runCli(['serve'], env);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/may not .*create leases\.coordination\.k8s\.io/);
});
