import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import type { LabApi } from '../../scripts/kubernetes/api.ts';

const FILE = fileURLToPath(new URL('../../charts/glovebox/crds/sessions.yaml', import.meta.url));
const LIMIT_MS = 30_000;

/** Has an API server know the records of sessions, and waits until it serves them. */
export async function installDefinition(api: LabApi): Promise<void> {
  await api.ensure('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', parse(readFileSync(FILE, 'utf8')));
  await api.await('/apis/glovebox.dev/v1/namespaces/glovebox/sessions', LIMIT_MS, ({ status }) => status === 200);
}
