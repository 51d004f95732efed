import { findInstallableHost, installPackages } from '../../src/engines/docker/host/apt.ts';
import { runCommand } from '../../src/lib/run-command.ts';

export type ComposeCommand = readonly [command: string, ...args: string[]];

const CANDIDATES: readonly ComposeCommand[] = [['docker', 'compose'], ['docker-compose']];
const report = (line: string) => process.stderr.write(`${line}\n`);

/** Every Compose of this machine; installed, when there is none and this process may. Empty where it may not. */
export async function findCompose(): Promise<readonly ComposeCommand[]> {
  const found = await listCompose();
  if (found.length > 0 || !(await findInstallableHost())) return found;
  await installPackages(['--no-install-recommends', 'docker-compose'], report);
  return await listCompose();
}

async function listCompose(): Promise<ComposeCommand[]> {
  const answers = await Promise.all(
    CANDIDATES.map(async ([command, ...args]) => (await runCommand(command, [...args, 'version'])).code === 0),
  );
  return CANDIDATES.filter((_, index) => answers[index]);
}
