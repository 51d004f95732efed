import { loadConfig } from '../../src/config/load.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';
import { buildClusterImage } from '../setup/cluster-image.ts';
import { findLab } from './lab-of.ts';
import { engine, isCluster } from './server.ts';

const report = (line: string) => void process.stderr.write(`${line}\n`);

/**
 * What `GLOVEBOX_IMAGE` calls the image of the packages for data on the engine of the run, which then has it.
 * @throws Error in a cluster that is no lab: its nodes pull from a registry that is not known here
 */
export async function ensureDataImage(): Promise<string> {
  if (!isCluster()) {
    await ensureImage(engine(), { ...loadConfig(), image: 'data' }, report);
    return 'data';
  }
  const lab = findLab(process.env['KUBECONFIG'] ?? '');
  if (!lab) throw new Error('This test needs another image, which only a lab can be given: unset KUBECONFIG.');
  const image = await buildClusterImage('data', report);
  await lab.importImages(image);
  return image;
}
