import type Dockerode from 'dockerode';
import { GloveboxError } from '../errors.ts';
import { findInstallableHost, installPackages } from './apt.ts';
import { runCommand } from './child.ts';
import { buildDebianBase, debianBaseTag, RECIPE_HASH, readPackageSource } from './debian-base.ts';
import { hasImage } from './inspect.ts';
import type { Report } from './progress.ts';
import { pullImage } from './pull.ts';

/** The one base that can be made from distribution packages where no registry answers. */
const DEFAULT_BASE = 'python:3.13-slim';

export interface BaseOptions {
  /** The image to build on. */
  readonly base: string;
  /** Whether tools that are missing on this host may be installed. */
  readonly setup: 'auto' | 'never';
}

/** What decides which base is used, known before any registry was asked. */
export function identifyBase(base: string): string {
  return base === DEFAULT_BASE ? `${base} or ${RECIPE_HASH}` : base;
}

/**
 * The reference of a base image that the engine has: there already, pulled, or, for the default base
 * where no registry answers, made from this host's distribution packages.
 * @throws GloveboxError `engine_unavailable` that says what was tried and what to do.
 */
export async function ensureBase(
  docker: Dockerode,
  options: BaseOptions,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const { base } = options;
  if (await hasImage(docker, base)) return base;
  const made = base === DEFAULT_BASE ? await findMadeBase(docker) : undefined;
  if (made) return made;
  try {
    await pullImage(docker, base, report, signal);
    return base;
  } catch (error) {
    signal?.throwIfAborted();
    report(`${base} cannot be pulled: ${describe(error)}`);
    if (base !== DEFAULT_BASE) throw unavailable(`The base image ${base} cannot be pulled: ${describe(error)}`, error);
    return await makeBase(docker, options, error, report, signal);
  }
}

async function findMadeBase(docker: Dockerode): Promise<string | undefined> {
  const images = await docker.listImages({ filters: { reference: [debianBaseTag('*')] } });
  return images[0]?.RepoTags?.find((tag) => tag.endsWith(RECIPE_HASH));
}

async function makeBase(
  docker: Dockerode,
  { base, setup }: BaseOptions,
  pullError: unknown,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const pulled = `The base image ${base} cannot be pulled (${describe(pullError)})`;
  const host = await findInstallableHost();
  if (!host) {
    throw unavailable(`${pulled}, and only as root on Debian or Ubuntu can one be made from packages.`, pullError);
  }
  const source = await readPackageSource(host, signal);
  if (!source) throw unavailable(`${pulled}, and apt on ${host.name} has no Python 3.12 or newer to offer.`, pullError);
  try {
    await ensureMmdebstrap(setup, report, signal);
    const tag = debianBaseTag(source.release);
    await buildDebianBase(docker, source, tag, report, signal);
    return tag;
  } catch (cause) {
    signal?.throwIfAborted();
    throw unavailable(`${pulled}, nor can one be made from packages: ${describe(cause)}`, cause);
  }
}

async function ensureMmdebstrap(setup: BaseOptions['setup'], report: Report, signal?: AbortSignal): Promise<void> {
  const { code } = await runCommand('mmdebstrap', ['--version'], { signal });
  if (code === 0) return;
  if (setup === 'never')
    throw new Error('mmdebstrap is not installed, and GLOVEBOX_SETUP=never forbids to install it.');
  await installPackages(['mmdebstrap'], report, signal);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}

function unavailable(message: string, cause: unknown): GloveboxError {
  return new GloveboxError('engine_unavailable', message, {
    hint:
      'Bring the image to the engine (docker pull, or docker load of a file saved elsewhere), ' +
      'or name one that it can reach or has, with Python 3.12 or newer: GLOVEBOX_BASE=registry.example/python:3.13-slim.',
    cause,
  });
}
