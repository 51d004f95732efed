import { openMachineEngine } from '../../scripts/engines/images.ts';
import { loadConfig } from '../../src/config/load.ts';
import { ensureClusterImage } from '../../src/engines/docker/images/cluster-image.ts';

/** Builds an image of sandboxes in pods on this machine's Docker, unless that has it. */
export async function buildClusterImage(image: 'slim' | 'data', report: (line: string) => void): Promise<string> {
  await using machine = await openMachineEngine(report, new AbortController().signal);
  return await ensureClusterImage(machine.docker, loadConfig({}, { image }), report);
}
