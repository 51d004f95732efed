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

/** The bases that can be made from distribution packages where no registry answers. */
const RECIPES: readonly BaseRecipe[] = [PYTHON_BASE, NODE_BASE];

export interface BaseOptions {
  /** The image to build on. */
  readonly base: string;
  /** Whether tools that are missing on this host may be installed. */
  readonly setup: 'auto' | 'never';
}

/** What decides which base is used, known before any registry was asked. */
export function identifyBase(base: string): string {
  const recipe = findRecipe(base);
  return recipe ? `${base} or ${hashRecipe(recipe)}` : base;
}

/**
 * The reference of a base image that the engine has: there already, pulled, or, for a default base
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
  if (!host) throw refuse('and only as root on Debian or Ubuntu can one be made from packages.', pullError);
  const source = await readPackageSource(host, signal);
  if (!source) throw refuse(`and apt on ${host.name} has no new enough packages to offer.`, pullError);
  try {
    await ensureMmdebstrap(setup, report, signal);
    return await buildDebianBase(docker, source, recipe, report, signal);
  } catch (cause) {
    signal?.throwIfAborted();
    throw refuse(`nor can one be made from packages: ${describe(cause)}`, cause);
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

function unavailable(message: string, cause: unknown, { instead }: BaseRecipe = PYTHON_BASE): GloveboxError {
  return new GloveboxError('engine_unavailable', message, {
    hint:
      'Bring the image to the engine (docker pull, or docker load of a file saved elsewhere), ' +
      `or name one that it can reach or has, ${instead}.${adviseOnImage()}`,
    cause,
  });
}
