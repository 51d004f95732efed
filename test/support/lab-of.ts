import { readFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { parse } from 'yaml';
import { Lab } from '../../scripts/kubernetes/lab.ts';

/** The lab of this machine that a kubeconfig is for. Undefined if it is for another cluster. */
export function findLab(kubeconfig: string): Lab | undefined {
  const [path = ''] = kubeconfig.split(delimiter);
  const { clusters }: { clusters?: { cluster?: { server?: string } }[] } = parse(readFileSync(path, 'utf8'));
  return Lab.find(clusters?.[0]?.cluster?.server ?? '');
}
