import { randomBytes } from 'node:crypto';
import type { LabApi } from './api.ts';

const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const LABEL = 'glovebox-lab/fills';
/** An object may have 1.5 MB. */
const BYTES_EACH = 700_000;
const MOST = 1000;

/** Fills the room that etcd has, until it refuses to take more. @throws Error when it takes anything */
export async function fillEtcd(api: LabApi): Promise<void> {
  const data = { filler: randomBytes(BYTES_EACH).toString('base64') };
  for (let count = 0; count < MOST; count++) {
    const { status, text } = await api.call('POST', CONFIG_MAPS, {
      metadata: { generateName: 'filler-', labels: { [LABEL]: 'yes' } },
      data,
    });
    if (text.includes('database space exceeded')) return;
    if (status !== 201) throw new Error(`etcd was not filled: ${status} ${text}`);
  }
  throw new Error('etcd takes anything.');
}

/** Removes what filled etcd, and has it take changes again. */
export async function drainEtcd(api: LabApi, etcdUrl: string): Promise<void> {
  const { status, text } = await api.call('DELETE', `${CONFIG_MAPS}?labelSelector=${encodeURIComponent(LABEL)}`);
  if (status !== 200) throw new Error(`What fills etcd could not be removed: ${status} ${text}`);
  const post = async (path: string, body: object): Promise<string> => {
    const response = await fetch(`${etcdUrl}${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`etcd answered ${path} with ${response.status}: ${await response.text()}`);
    return await response.text();
  };
  const { header }: { header: { revision: string; member_id: string } } = JSON.parse(
    await post('/v3/kv/range', { key: 'AA==' }),
  );
  await post('/v3/kv/compaction', { revision: header.revision, physical: true });
  await post('/v3/maintenance/defragment', {});
  await post('/v3/maintenance/alarm', { action: 'DEACTIVATE', memberID: header.member_id, alarm: 'NOSPACE' });
}
