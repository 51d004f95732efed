import { chmodSync, copyFileSync, mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../../lib/run-command.ts';
import { lastLines } from '../host/progress.ts';
import type { BaseRecipe } from './debian-base.ts';

/** Path of the Node binary in node_modules. It is an official binary, which runs with any glibc of its platform. */
const NODE = fileURLToPath(new URL('../../../../node_modules/node/bin/node', import.meta.url));
const NODE_VERSION = '24.21.0';
const NPM_VERSION = '11.19.1';

/** Recipe that replaces node:24-slim, with the parts that the Dockerfile of the control plane needs. */
export const NODE_BASE: BaseRecipe = {
  replaces: 'node:24-slim',
  instead: 'one with Node 24: GLOVEBOX_CONTROL_BASE=registry.example/node:24-slim',
  repository: 'glovebox-node',
  packages: ['ca-certificates', 'libstdc++6', 'netbase', 'tzdata'],
  facts: [NODE_VERSION, NPM_VERSION],
  addLocal: addNode,
};

/** Adds Node from node_modules, and npm from its registry, by the npm of this host with its settings. */
async function addNode(directory: string, signal?: AbortSignal): Promise<void> {
  const { code, stdout, stderr } = await runCommand(NODE, ['--version'], { signal });
  if (stdout.trim() !== `v${NODE_VERSION}`) {
    throw new Error(`Node ${NODE_VERSION} is not in node_modules (run "npm ci"): ${code === 0 ? stdout : stderr}`);
  }
  const [bin, modules] = [join(directory, 'bin'), join(directory, 'lib', 'node_modules')];
  for (const folder of [bin, modules]) mkdirSync(folder, { recursive: true });
  copyFileSync(NODE, join(bin, 'node'));
  await addNpm(modules, signal);
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(bin, 'npm'));
  // The mode of this folder becomes that of /usr/local.
  chmodSync(directory, 0o755);
}

async function addNpm(modules: string, signal?: AbortSignal): Promise<void> {
  const packed = await runCommand('npm', ['pack', `npm@${NPM_VERSION}`, '--silent', '--pack-destination', modules], {
    signal,
  });
  const archive = join(modules, packed.stdout.trim());
  const unpacked = await runCommand('tar', ['-xzf', archive, '-C', modules, '--no-same-owner'], { signal });
  const failed = [packed, unpacked].find(({ code }) => code !== 0);
  if (failed) throw new Error(`npm ${NPM_VERSION} cannot be downloaded: ${lastLines(failed.stderr, 3)}`);
  rmSync(archive);
  renameSync(join(modules, 'package'), join(modules, 'npm'));
}
