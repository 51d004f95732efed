// A control plane of a group without anything else, for tests that stop its process. It takes one line of JSON for each
// request on its standard input, and answers with one.
import { createInterface } from 'node:readline';
import { hostEnvironment } from '../../src/config/host-environment.ts';
import { openAccess } from '../../src/engines/kubernetes/api/access.ts';
import { KubernetesClient } from '../../src/engines/kubernetes/api/client.ts';
import { ClusterState } from '../../src/engines/kubernetes/state/cluster-state.ts';
import { createLog } from '../../src/log.ts';
import { newKeyPair } from '../../src/state/key-pair.ts';

const [namespace = '', group = '', leaseS = '3'] = process.argv.slice(2);
const log = createLog('error');
const tell = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`);

using client = new KubernetesClient(
  await openAccess({ hostEnvironment: hostEnvironment(process.env), namespace, log }),
);
const introduction = { address: '127.0.0.1:1', publicKey: newKeyPair().publicKey, version: '1' };
await using state = await ClusterState.join({
  isFit: () => true,
  client,
  group,
  introduction,
  leaseS: Number(leaseS),
  log,
});
state.onExpired(() => tell({ event: 'expired', isValid: state.isValid }));
state.onMembers(() => tell({ event: 'members', name: state.self.name, isValid: state.isValid }));
tell({ event: 'joined', name: state.self.name });

for await (const line of createInterface(process.stdin)) {
  // Before anything that is due by now, as a request would be that came while the process stood still.
  const { isValid } = state;
  const { what, id } = JSON.parse(line) as { what: 'create' | 'save'; id: string };
  const saved = { last_used_at: new Date().toISOString() };
  try {
    const known = state.find('owner', id);
    const session =
      what === 'create' || !known ? await state.create('owner', id, saved) : await state.save(known, saved);
    tell({ event: 'done', isValid, generation: session.generation, holder: session.holder });
  } catch (error) {
    tell({ event: 'failed', isValid, error: error instanceof Error ? error.constructor.name : String(error) });
  }
}
