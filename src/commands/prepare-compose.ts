import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../config/load.ts';
import { connectEngine } from '../engines/docker/connect/connect.ts';
import { buildControlImage, readRegistryAccess } from '../engines/docker/images/control-image.ts';
import { ensureImage } from '../engines/docker/images/sandbox-image.ts';
import { version } from '../version.ts';
import type { CommandContext } from './context.ts';

/** File from which Compose reads the variables of `compose.yaml`. */
const ENVIRONMENT_FILE = '.env';

/** Builds all images for `compose.yaml`, and writes the values of this machine to `.env`. */
export async function prepareCompose(config: Config, { say }: Pick<CommandContext, 'say'>): Promise<void> {
  const { docker, address } = await connectEngine(config);
  const { setup, controlBase, hostEnvironment } = config;
  const image = await buildControlImage(docker, { base: controlBase, setup, hostEnvironment, version }, say);
  say(`The image of the control plane is ${image.reference}; it is built on ${image.base}.`);
  await ensureImage(docker, config, say);
  const values = {
    ...(image.base === controlBase ? {} : { GLOVEBOX_CONTROL_BASE: image.base }),
    ...describeSocket(address),
    ...(hostEnvironment.caFile ? { CA_FILE: resolve(hostEnvironment.caFile) } : {}),
  };
  const before = existsSync(ENVIRONMENT_FILE) ? readFileSync(ENVIRONMENT_FILE, 'utf8') : '';
  const after = addVariables(before, values);
  if (after !== before) {
    writeFileSync(ENVIRONMENT_FILE, after);
    say(`What compose.yaml must know of this machine is in ${resolve(ENVIRONMENT_FILE)}.`);
  }
  if (hostEnvironment.caFile && !existsSync('access')) {
    mkdirSync('access', { mode: 0o700 });
    for (const { name, content } of await readRegistryAccess(config)) writeFileSync(name, content, { mode: 0o600 });
    say('What a build by Compose needs to reach the package registry is in access/; it does not stay in the image.');
  }
  say('Now run: docker compose --profile http up -d');
}

/** Adds values to the text of a `.env` file, except for those that it sets already. */
export function addVariables(text: string, values: Readonly<Record<string, string>>): string {
  const lines = Object.entries(values)
    .filter(([name]) => !new RegExp(`^\\s*(export\\s+)?${name}\\s*=`, 'm').test(text))
    .map(([name, value]) => `${name}=${value}\n`);
  const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return lines.length === 0 ? text : ended + lines.join('');
}

/** Returns the variables for the engine's socket: its group, and its path if unusual. Empty for a remote engine. */
function describeSocket(address: string): Record<string, string> {
  const path = /^unix:\/\/(.+)$/.exec(address)?.[1];
  if (path === undefined || process.platform !== 'linux') return {};
  return {
    DOCKER_GID: String(statSync(path).gid),
    ...(path === '/var/run/docker.sock' ? {} : { DOCKER_SOCKET: path }),
  };
}
