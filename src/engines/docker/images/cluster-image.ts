import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { filterRules } from '../../hardening/filter-rules.ts';
import { seccompProfile } from '../../hardening/seccomp.ts';
import type { Report } from '../host/progress.ts';
import { hasImage } from '../inspect.ts';
import { explainMissingTools, readAptAccess } from './apt-access.ts';
import { ensureBase, identifyBase } from './base.ts';
import { buildImage } from './build.ts';
import { type ContextFile, hashInputs, readContext } from './build-context.ts';
import { readIndexAccess } from './index-access.ts';
import { ensureImage, type ImageOptions } from './sandbox-image.ts';

const HOLD_FILES = ['hold', 'install-tools.sh'];
const HOLD_DOCKERFILE = 'hold/Dockerfile';
const CLUSTER_DOCKERFILE = 'hold/cluster.Dockerfile';

/**
 * Builds the image of sandboxes in pods, unless the engine has it, and returns its reference: the usual sandbox image with
 * the program that is process 1 of a pod.
 * @param tag another name for it, with which it can be pushed
 * @throws GloveboxError `engine_unavailable` with the reason and the next step
 */
export async function ensureClusterImage(
  docker: Dockerode,
  options: ImageOptions & { readonly tag?: string | undefined },
  report: Report,
  signal?: AbortSignal,
): Promise<string> {
  const sandbox = await ensureImage(docker, options, report, signal);
  const hold = await ensureHold(docker, options, report, signal);
  const { Id: id, Config: config } = await docker.getImage(sandbox).inspect();
  const files = [
    ...readContext([CLUSTER_DOCKERFILE], options.contextDir),
    { name: 'environment', content: Buffer.from((config.Env ?? []).map((variable) => `${variable}\0`).join('')) },
  ];
  const variant = /^glovebox-sandbox:(\w+)-/.exec(sandbox)?.[1] ?? 'own';
  const reference = `glovebox-sandbox:${variant}-${hashInputs(files, [id, hold])}-kubernetes`;
  if (!(await hasImage(docker, reference))) {
    await buildImage(
      docker,
      {
        ...{ tag: reference, dockerfile: CLUSTER_DOCKERFILE, files, base: sandbox, args: { HOLD: hold }, proxy: {} },
        labels: { 'glovebox.cluster-image': variant, 'glovebox.parent': sandbox },
        title: `Building the sandbox image for Kubernetes (${variant})`,
      },
      report,
      signal,
    );
  }
  if (options.tag === undefined) return reference;
  await docker.getImage(reference).tag(splitTag(options.tag));
  return options.tag;
}

/**
 * Builds the image of that program, unless the engine has it, and returns its reference.
 * @throws GloveboxError as {@link ensureClusterImage}
 */
async function ensureHold(
  docker: Dockerode,
  options: ImageOptions,
  report: Report,
  signal: AbortSignal | undefined,
): Promise<string> {
  const files: ContextFile[] = [
    ...readContext(HOLD_FILES, options.contextDir),
    { name: 'hold/host.txt', content: Buffer.from(filterRules(seccompProfile())) },
    { name: 'hold/remapped.txt', content: Buffer.from(filterRules(seccompProfile({ remapped: true }))) },
  ];
  const tag = `glovebox-hold:${hashInputs(files, [identifyBase(options.base)])}`;
  if (await hasImage(docker, tag)) return tag;
  const base = await ensureBase(docker, options, report, signal);
  const access = [...(await readIndexAccess(options, signal)), ...(await readAptAccess(signal))];
  await buildImage(
    docker,
    {
      ...{ tag, dockerfile: HOLD_DOCKERFILE, files: [...files, ...access], base },
      labels: { 'glovebox.base': base },
      proxy: options.hostEnvironment.proxy,
      title: 'Compiling the main process of pods',
      explain: (output) => explainNoCompiler(base, output),
    },
    report,
    signal,
  );
  return tag;
}

/** The error for a base without a compiler and without a way to one. Undefined if that is not what is wrong. */
export function explainNoCompiler(base: string, output: string): GloveboxError | undefined {
  const reason = explainMissingTools(output);
  if (reason === undefined) return undefined;
  return new GloveboxError('engine_unavailable', `The main process of pods cannot be compiled in ${base}: ${reason}.`, {
    hint: 'Correct that, or set GLOVEBOX_BASE to an image of Debian or Ubuntu that has gcc, libc6-dev and libseccomp-dev.',
  });
}

/** Splits a reference into what the engine calls `repo` and `tag`. */
export function splitTag(reference: string): { repo: string; tag: string } {
  const [, repo = '', tag = 'latest'] = /^(.+?)(?::([\w.-]+))?$/.exec(reference) ?? [];
  return { repo, tag };
}
