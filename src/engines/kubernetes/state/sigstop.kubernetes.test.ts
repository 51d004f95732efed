import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { installRecords } from '../../../../test/support/session-records.ts';
import { openTestNamespace, type TestNamespace } from '../../../../test/support/test-namespace.ts';
import { createLog } from '../../../log.ts';
import { newKeyPair } from '../../../state/key-pair.ts';
import { KubernetesClient } from '../api/client.ts';
import { ClusterState } from './cluster-state.ts';

const MEMBER = fileURLToPath(new URL('../../../../test/support/state-member.ts', import.meta.url));
const LEASE_S = 5;

let namespace: TestNamespace;

beforeAll(async () => {
  namespace = await openTestNamespace('stopped');
  await installRecords(namespace.client);
});
afterAll(() => namespace?.[Symbol.asyncDispose]());

/** A control plane in a process of its own. */
function startMember(group: string) {
  const member = spawn(process.execPath, [MEMBER, namespace.name, group, String(LEASE_S)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(member.stdout)[Symbol.asyncIterator]();
  return {
    ask: (what: 'create' | 'save') => void member.stdin.write(`${JSON.stringify({ what, id: 'work' })}\n`),
    hear: async (): Promise<Record<string, unknown>> => JSON.parse((await lines.next()).value ?? '{}'),
    signal: (signal: NodeJS.Signals) => void member.kill(signal),
    [Symbol.asyncDispose]: async () => {
      member.kill('SIGCONT');
      member.kill('SIGKILL');
      if (member.exitCode === null && member.signalCode === null) await once(member, 'exit');
    },
  };
}

test('a control plane that was stopped past its lease does nothing for its sessions when it goes on, and joins anew', {
  timeout: 60_000,
}, async () => {
  const group = `stopped-${randomBytes(4).toString('hex')}`;
  await using member = startMember(group);
  const { name } = await member.hear();
  member.ask('create');
  expect(await member.hear()).toEqual({ event: 'done', isValid: true, generation: 1, holder: name });
  const introduction = { address: '127.0.0.1:2', publicKey: newKeyPair().publicKey, version: '1' };
  const client = new KubernetesClient(namespace.access);
  await using other = await ClusterState.join({
    isFit: () => true,
    ...{ client, group, introduction, leaseS: 60, log: createLog('error') },
  });
  const session = other.find('owner', 'work');
  if (!session) throw new Error('The other does not know of the session.');
  const gone = new Promise<void>((resolve) => void other.onMembers(() => other.others.length === 0 && resolve()));
  expect(await member.hear()).toMatchObject({ event: 'members' });

  member.signal('SIGSTOP');
  // It comes while the process stands still, as a request might.
  member.ask('save');
  await gone;
  expect(await other.claim(session)).toMatchObject({ generation: 2, holder: other.self.name });
  member.signal('SIGCONT');

  const heard = [await member.hear()];
  while (heard.at(-1)?.['isValid'] !== true) heard.push(await member.hear());
  expect(heard).toContainEqual({ event: 'failed', isValid: false, error: 'HoldLost' });
  expect(heard).toContainEqual({ event: 'expired', isValid: false });
  expect(heard.at(-1)).toMatchObject({ event: 'members', name: expect.not.stringContaining(String(name)) });
  expect(await other.lookUp('owner', 'work')).toMatchObject({ generation: 2, holder: other.self.name });
});
