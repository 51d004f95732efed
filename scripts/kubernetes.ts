import { copyFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Lab, removeLab } from './kubernetes/lab.ts';
import { ensureProgram } from './kubernetes/program.ts';
import { listFolders, readState } from './kubernetes/state.ts';

const USAGE = `Usage: npm run kubernetes -- COMMAND

A Kubernetes cluster of two nodes on this machine, for the tests of the engine of that name, and to try things out. Needs
root, Go, and Docker from Debian's packages (its containerd and runc).
  up [IMAGE…]            sets one up, with images of this machine's Docker, and prints the path of its kubeconfig
  import FOLDER IMAGE…   gives the nodes of one images
  status                 folders of all, and what runs of them
  down [FOLDER]          ends one, or all, and removes what they made
  build                  builds the program that they run, unless it is there: 8 minutes, once
Its parts are named after what they are: "$(npm run --silent kubernetes -- build) kubectl …" is kubectl.
`;

const report = (line: string) => void process.stderr.write(`${line}\n`);
const print = (line: string) => void process.stdout.write(`${line}\n`);

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { help: { type: 'boolean', short: 'h', default: false }, kubeconfig: { type: 'string' } },
});
const [command, ...rest] = positionals;

if (values.help) process.stdout.write(USAGE);
else if (command === 'up') await up(rest);
else if (command === 'import') await importImages(rest);
else if (command === 'status') status();
else if (command === 'down') for (const folder of rest.length > 0 ? rest : listFolders()) await removeLab(folder);
else if (command === 'build') print(await ensureProgram(report));
else {
  process.stderr.write(USAGE);
  process.exitCode = 2;
}

async function up(images: readonly string[]): Promise<void> {
  const program = await ensureProgram(report);
  const lab = await Lab.start({ program, owner: 'nobody', images, report });
  if (values.kubeconfig) copyFileSync(lab.kubeconfig, values.kubeconfig);
  print(lab.kubeconfig);
  lab.api.close();
}

async function importImages([folder, ...images]: readonly string[]): Promise<void> {
  await Lab.open(folder ?? '').importImages(...images);
}

function status(): void {
  for (const folder of listFolders()) {
    print(`${folder} ${Object.keys(readState(folder)?.processes ?? {}).join(' ')}`);
  }
}
