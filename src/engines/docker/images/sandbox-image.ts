import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import type { Report } from '../host/progress.ts';
import { hasImage } from '../inspect.ts';
import { explainMissingTools, readAptAccess } from './apt-access.ts';
import { type BaseOptions, ensureBase, identifyBase } from './base.ts';
import { explainUnsuitableBase } from './base-python.ts';
import { buildImage } from './build.ts';
import { type ContextFile, hashInputs, readContext, SANDBOX_IMAGE_DIR } from './build-context.ts';
import { type IndexOptions, readIndexAccess } from './index-access.ts';
import { pullImage } from './pull.ts';

export interface ImageOptions extends BaseOptions, IndexOptions {
  /** `data` or `slim`, which are built by Glovebox, or the reference of another image. */
  readonly image: string;
  /** Folder of the Dockerfiles; by default that of this package. */
  readonly contextDir?: string;
}

const VARIANTS = ['data', 'slim'] as const;
type Variant = (typeof VARIANTS)[number];

const SANDBOX_FILES = ['Dockerfile', 'runner', 'site-packages'];
const PACKAGES_FILES = [
  'packages.Dockerfile',
  'prepare',
  'pip.conf',
  'uv.toml',
  'requirements-slim.txt',
  'requirements-data.txt',
  'debian-slim.txt',
  'debian-data.txt',
  'install-tools.sh',
];

/**
 * Builds or pulls the sandbox image, unless the engine has it, and returns its reference. The tag of a built image is a
 * hash of its inputs, so it is built again only when these change. If two processes build at the same time, they make
 * the same image twice, which does no harm.
 * @throws GloveboxError `engine_unavailable` with the reason and the next step.
 */
export async function ensureImage(
  docker: Dockerode,
  options: ImageOptions,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const variant = VARIANTS.find((name) => name === options.image);
  if (!variant) return await ensureCustomImage(docker, options.image, report, signal);
  const plan = planImage(variant, options);
  if (await hasImage(docker, plan.tag)) return plan.tag;
  const base = await ensureBase(docker, options, report, signal);
  const parent = await ensurePackages(docker, plan.packages, base, options, report, signal);
  await buildImage(
    docker,
    {
      tag: plan.tag,
      dockerfile: 'Dockerfile',
      files: plan.files,
      base: parent,
      labels: { 'glovebox.image': variant, 'glovebox.base': base, 'glovebox.parent': parent },
      proxy: {},
      title: `Building the sandbox image (${variant})`,
    },
    report,
    signal,
  );
  report(`The sandbox image is ${plan.tag}. "docker image prune" removes the images that it replaces.`);
  return plan.tag;
}

/** The reference of the image that {@link ensureImage} would return, and whether the engine has it already. */
export async function findImage(
  docker: Dockerode,
  options: ImageOptions,
): Promise<{ readonly reference: string; readonly present: boolean }> {
  const variant = VARIANTS.find((name) => name === options.image);
  const reference = variant ? planImage(variant, options).tag : options.image;
  return { reference, present: await hasImage(docker, reference) };
}

interface Layer {
  readonly variant: Variant;
  readonly tag: string;
  readonly files: readonly ContextFile[];
}

/** The images to build. The packages are a separate image, so that they are not built again when the runner changes. */
function planImage(variant: Variant, { base, contextDir }: ImageOptions): Layer & { readonly packages: Layer } {
  const directory = contextDir ?? SANDBOX_IMAGE_DIR;
  const identity = identifyBase(base);
  const files = readContext(SANDBOX_FILES, directory);
  const packageFiles = readContext(PACKAGES_FILES, directory).flatMap((file) => {
    const [, list] = new RegExp(`^(requirements|debian)-${variant}\\.txt$`).exec(file.name) ?? [];
    return list === undefined ? [file] : [file, { ...file, name: `${list}-variant.txt` }];
  });
  const packagesHash = hashInputs(packageFiles, [variant, identity]);
  return {
    variant,
    tag: tagOf(variant, hashInputs(files, [variant, identity, packagesHash])),
    files,
    packages: { variant, tag: `glovebox-packages:${variant}-${packagesHash}`, files: packageFiles },
  };
}

function tagOf(variant: Variant, hash: string): string {
  return `glovebox-sandbox:${variant}-${hash}`;
}

async function ensurePackages(
  docker: Dockerode,
  { variant, tag, files }: Layer,
  base: string,
  options: ImageOptions,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  if (await hasImage(docker, tag)) return tag;
  const secrets = [...(await readIndexAccess(options, signal)), ...(await readAptAccess(signal))];
  await buildImage(
    docker,
    {
      tag,
      dockerfile: 'packages.Dockerfile',
      files: [...files, ...secrets],
      base,
      labels: { 'glovebox.packages': variant, 'glovebox.base': base },
      proxy: options.hostEnvironment.proxy,
      title: 'Installing the packages of the sandbox image',
      explain: (output) => explainUnsuitableBase(base, output),
      remark: (output) => tellMissingTools(tag, output),
    },
    report,
    signal,
  );
  return tag;
}

/** The message for an image that could be built, but without its small tools. */
function tellMissingTools(tag: string, output: string): string | undefined {
  const reason = explainMissingTools(output);
  if (reason === undefined) return undefined;
  return `The image has no small tools for commands, such as git: ${reason}. To try again, remove ${tag} and the image on top of it (docker rmi).`;
}

async function ensureCustomImage(
  docker: Dockerode,
  reference: string,
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  if (await hasImage(docker, reference)) return reference;
  try {
    await pullImage(docker, reference, report, signal);
    return reference;
  } catch (cause) {
    signal?.throwIfAborted();
    const reason = cause instanceof Error ? cause.message.trim() : String(cause);
    throw new GloveboxError(
      'engine_unavailable',
      `The image ${reference} (GLOVEBOX_IMAGE) cannot be pulled: ${reason}`,
      {
        hint: 'Set GLOVEBOX_IMAGE to data, slim, or an image that the engine has or can pull.',
        cause,
      },
    );
  }
}
