import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { runCommand } from '../../../lib/run-command.ts';
import { findInstallableHost, installPackages } from '../host/apt.ts';
import { adviseOnImage } from '../host/container-advice.ts';
import type { Report } from '../host/progress.ts';
import { hasImage } from '../inspect.ts';
import {
  type BaseRecipe,
  buildDebianBase,
  debianBaseTag,
  hashRecipe,
  PYTHON_BASE,
  readPackageSource,
} from './debian-base.ts';
import { NODE_BASE } from './node-base.ts';
import { pullImage } from './pull.ts';

/** Base images that can be built from distribution packages if no registry can be reached. */
const RECIPES: readonly BaseRecipe[] = [PYTHON_BASE, NODE_BASE];

export interface BaseOptions {
  /** Reference of the base image. */
  readonly base: string;
  /** Whether missing tools may be installed on this host. */
  readonly setup: 'auto' | 'never';
}

/** Identity of the base image, known without asking a registry. */
export function identifyBase(base: string): string {
  const recipe = findRecipe(base);
  return recipe ? `${base} or ${hashRecipe(recipe)}` : base;
}

/**
 * Makes sure that the engine has the base image, and returns its reference. A missing image is pulled. If a default
 * base image cannot be pulled, it is built from the distribution packages of this host.
 * @throws GloveboxError `engine_unavailable` with what was tried and what to do
 */
export async function ensureBase(
  docker: Dockerode,
  options: BaseOptions,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const { base } = options;
  if (await hasImage(docker, base)) return base;
  const recipe = findRecipe(base);
  const made = recipe ? await findMadeBase(docker, recipe) : undefined;
  if (made) return made;
  try {
    await pullImage(docker, base, report, signal);
    return base;
  } catch (error) {
    signal?.throwIfAborted();
    report(`${base} cannot be pulled: ${describe(error)}`);
    if (!recipe) throw unavailable(`The base image ${base} cannot be pulled: ${describe(error)}`, error);
    return await makeBase(docker, recipe, options.setup, error, report, signal);
  }
}

function findRecipe(base: string): BaseRecipe | undefined {
  return RECIPES.find(({ replaces }) => replaces === base);
}

async function findMadeBase(docker: Dockerode, recipe: BaseRecipe): Promise<string | undefined> {
  const images = await docker.listImages({ filters: { reference: [debianBaseTag(recipe, '*')] } });
  return images[0]?.RepoTags?.find((tag) => tag.endsWith(hashRecipe(recipe)));
}

async function makeBase(
  docker: Dockerode,
  recipe: BaseRecipe,
  setup: BaseOptions['setup'],
  pullError: unknown,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const pulled = `The base image ${recipe.replaces} cannot be pulled (${describe(pullError)})`;
  const refuse = (why: string, cause: unknown) => unavailable(`${pulled}, ${why}`, cause, recipe);
  const host = await findInstallableHost();
  if (!host) throw refuse('and it can be built from packages only as root on Debian or Ubuntu.', pullError);
  const source = await readPackageSource(host, signal);
  if (!source) throw refuse(`and apt on ${host.name} has no packages that are new enough.`, pullError);
  try {
    await ensureMmdebstrap(setup, report, signal);
    return await buildDebianBase(docker, source, recipe, report, signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw refuse(`and it cannot be built from packages: ${describe(cause)}`, cause);
  }
}

/** Installs mmdebstrap if it is missing. @throws Error if it may not be installed */
export async function ensureMmdebstrap(
  setup: BaseOptions['setup'],
  report: Report,
  signal?: AbortSignal,
): Promise<void> {
  const { code } = await runCommand('mmdebstrap', ['--version'], { signal });
  if (code === 0) return;
  if (setup === 'never')
    throw new Error('mmdebstrap is not installed, and GLOVEBOX_SETUP=never does not allow to install it.');
  await installPackages(['mmdebstrap'], report, signal);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}

function unavailable(message: string, cause: unknown, { instead }: BaseRecipe = PYTHON_BASE): GloveboxError {
  return new GloveboxError('engine_unavailable', message, {
    hint:
      'Load the image into the engine (docker pull, or docker load of a file saved elsewhere), ' +
      `or set one that the engine has or can pull, ${instead}.${adviseOnImage()}`,
    cause,
  });
}
