import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { runCommand } from '../../../lib/run-command.ts';
import { findAuthorities } from '../../../outbound/authorities.ts';
import type { Report } from '../host/progress.ts';
import { hasImage } from '../inspect.ts';
import { type BaseOptions, ensureBase, identifyBase } from './base.ts';
import { buildImage } from './build.ts';
import { type ContextFile, hashInputs, readContext } from './build-context.ts';
import type { IndexOptions } from './index-access.ts';

/** Root of the repository. Its relative path is the same from `src` and from `dist`. */
const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));
const FILES = [
  'Dockerfile',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/setup.mjs',
  'scripts/write-sbom.mjs',
  'src',
  ...['index.html', 'package.json', 'package-lock.json', 'public', 'src', 'tsconfig.json', 'vite.config.ts'].map(
    (name) => `dashboard/${name}`,
  ),
  'sandbox-image',
];
/** Pattern of the lines of an npmrc that also work in a container: registries, credentials and proxies. */
const PORTABLE = /^\s*((@[^:=\s]+:)?registry|\/\/[^=]+|(https?-)?proxy|noproxy|strict-ssl)\s*=/;
/** Label with the hash of an image's inputs. The image is built again only when these change. */
const INPUTS_LABEL = 'glovebox.control';
const BASE_LABEL = 'org.opencontainers.image.base.name';

export interface ControlImage {
  readonly reference: string;
  /** Reference of the base image. It differs from the requested one if that could not be pulled. */
  readonly base: string;
}

export interface ControlImageOptions extends BaseOptions, Pick<IndexOptions, 'hostEnvironment'> {
  readonly version: string;
}

/**
 * Builds the image of the control plane from this repository. Unlike `docker build`, it can use a base image of Debian
 * packages if no registry can be reached. The build uses the certificate authorities and npm settings of this host,
 * which are not stored in the image.
 * @throws GloveboxError `engine_unavailable` with the reason and the next step.
 */
export async function buildControlImage(
  docker: Dockerode,
  options: ControlImageOptions,
  report: Report,
  signal?: AbortSignal,
): Promise<ControlImage> {
  if (!existsSync(join(ROOT, 'Dockerfile'))) {
    throw new GloveboxError(
      'invalid_input',
      'The image of the control plane can only be built in a clone of the repository.',
      {
        hint: 'Clone the repository, then run "npm run image:control-plane" there.',
      },
    );
  }
  const reference = `glovebox:${options.version}`;
  const files = readContext(FILES, ROOT).filter(({ name }) => !/\.test\.ts$|^sandbox-image\/tests\//.test(name));
  const inputs = hashInputs(files, [identifyBase(options.base), options.version]);
  const made = await findExisting(docker, reference, inputs);
  if (made) return made;
  const base = await ensureBase(docker, options, report, signal);
  await buildImage(
    docker,
    {
      tag: reference,
      dockerfile: 'Dockerfile',
      files: [...files, ...(await readRegistryAccess(options, signal))],
      base,
      labels: { [INPUTS_LABEL]: inputs, [BASE_LABEL]: base },
      proxy: options.hostEnvironment.proxy,
      title: 'Building the image of the control plane',
    },
    report,
    signal,
  );
  await tagLatest(docker, reference);
  return { reference, base };
}

async function findExisting(docker: Dockerode, reference: string, inputs: string): Promise<ControlImage | undefined> {
  if (!(await hasImage(docker, reference))) return undefined;
  const { Labels: labels } = (await docker.getImage(reference).inspect()).Config;
  if (labels?.[INPUTS_LABEL] !== inputs) return undefined;
  await tagLatest(docker, reference);
  return { reference, base: labels[BASE_LABEL] ?? '' };
}

/** Adds the tag that compose.yaml uses. */
async function tagLatest(docker: Dockerode, reference: string): Promise<void> {
  await docker.getImage(reference).tag({ repo: 'glovebox', tag: 'latest' });
}

/** Reads the settings that npm needs in a build, as files of `access/`. They may contain credentials. */
export async function readRegistryAccess(
  { hostEnvironment }: Pick<IndexOptions, 'hostEnvironment'>,
  signal?: AbortSignal,
): Promise<ContextFile[]> {
  const authorities = findAuthorities(hostEnvironment.caFile);
  return [
    { name: 'access/npmrc', content: Buffer.from(await readNpmSettings(signal)) },
    { name: 'access/ca.crt', content: authorities ? await readFile(authorities) : Buffer.alloc(0) },
  ];
}

/** Reads the npmrc files, because `npm config get` does not show secrets. Later files take precedence. */
async function readNpmSettings(signal?: AbortSignal): Promise<string> {
  const lines: string[] = [];
  for (const file of ['globalconfig', 'userconfig']) {
    const { stdout } = await runCommand('npm', ['config', 'get', file], { signal });
    lines.push(...(await readLines(stdout.trim())));
  }
  const { code, stdout } = await runCommand('npm', ['config', 'get', 'registry'], { signal });
  if (code === 0) lines.push(`registry=${stdout.trim()}`);
  return `${lines.filter((line) => PORTABLE.test(line)).join('\n')}\n`;
}

async function readLines(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).split('\n');
  } catch {
    return [];
  }
}
