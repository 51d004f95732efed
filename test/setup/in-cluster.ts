import { inject } from 'vitest';
import { Lab } from '../../scripts/kubernetes/lab.ts';
import { knownProcess } from '../../scripts/kubernetes/processes.ts';
import { ensureProgram } from '../../scripts/kubernetes/program.ts';
import { findLab } from '../support/lab-of.ts';
import { buildClusterImage } from './cluster-image.ts';
import { type ClusterRecord, shareCluster } from './cluster-record.ts';

// Runs before each test file of the project: what it tests reads its cluster from the environment, as a user's does.

const folder = inject('clusterFolder');
if (folder === undefined) throw new Error('This is not the project "kubernetes".');

const { kubeconfig, image } = await shareCluster(folder, prepare);
process.env['KUBECONFIG'] = kubeconfig;
process.env['GLOVEBOX_IMAGE'] = image;

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** The cluster that `KUBECONFIG` names, else a lab. */
async function prepare(): Promise<ClusterRecord> {
  const { KUBECONFIG: given, GLOVEBOX_IMAGE: image } = process.env;
  if (!given) return await startLab();
  const lab = findLab(given);
  if (!lab && !image) {
    throw new Error(
      'Set GLOVEBOX_IMAGE to the image of sandboxes that the cluster of KUBECONFIG is to pull, or unset KUBECONFIG.',
    );
  }
  if (!lab || image) return { kubeconfig: given, image: image ?? '' };
  const built = await buildClusterImage('slim', report);
  await lab.importImages(built);
  return { kubeconfig: given, image: built };
}

async function startLab(): Promise<ClusterRecord> {
  const owner = knownProcess(inject('runPid') ?? 0);
  if (!owner) throw new Error('The run has ended.');
  const [program, image] = await Promise.all([ensureProgram(report), buildClusterImage('slim', report)]);
  const lab = await Lab.start({ program, owner, images: [image], report });
  return { kubeconfig: lab.kubeconfig, image, lab: lab.layout.folder };
}
