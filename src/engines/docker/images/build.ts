import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { type EngineFacts, readFacts } from '../connect/check-engine.ts';
import { lastLines, type ProgressEvent, type Report, readProgress, withoutRepeats } from '../host/progress.ts';
import { type ContextFile, packContext } from './build-context.ts';

/** Label of the images of a stage with credentials. Its value is the id of the build. */
const STAGE_LABEL = 'glovebox.build';
/** Age in milliseconds after which the images of a stage are left over from a build that crashed. */
const ABANDONED_AFTER_MS = 2 * 3600 * 1000;
/** Time to remove the images of stages, in milliseconds. */
const REMOVAL_DEADLINE_MS = 10_000;

export interface BuildRequest {
  readonly tag: string;
  readonly dockerfile: string;
  readonly files: readonly ContextFile[];
  readonly base: string;
  /** Further arguments of the Dockerfile. */
  readonly args?: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** Predefined proxy arguments. The engine does not store them in the image and its history. */
  readonly proxy: Readonly<Record<string, string>>;
  /** Beginning of each progress message. */
  readonly title: string;
  /**
   * Makes a specific error from the output of a failed build. Undefined for an error with the last lines of the output.
   */
  readonly explain?: (output: string) => GloveboxError | undefined;
  /** Makes a message about a build that has succeeded from its output. Undefined if there is nothing to say. */
  readonly remark?: (output: string) => string | undefined;
}

/**
 * Builds and tags an image. The Dockerfile gets the argument `BASE`, and the id of the build in place of `$BUILD`.
 * Images of stages with the label `glovebox.build=$BUILD` are removed afterwards, even if the build fails.
 * @throws GloveboxError `engine_unavailable` with the last lines of the output, or the error that `explain` makes
 */
export async function buildImage(
  docker: Dockerode,
  request: BuildRequest,
  report: Report,
  signal?: AbortSignal,
): Promise<void> {
  const build = randomBytes(8).toString('hex');
  try {
    await runBuild(docker, request, build, withoutRepeats(report), signal);
  } finally {
    await removeStages(docker, build, report);
  }
}

async function runBuild(
  docker: Dockerode,
  request: BuildRequest,
  build: string,
  report: Report,
  signal?: AbortSignal,
): Promise<void> {
  const output: string[] = [];
  try {
    const body = await docker.buildImage(packContext(nameBuild(request, build)), {
      version: '1',
      t: request.tag,
      dockerfile: request.dockerfile,
      buildargs: { ...request.proxy, ...request.args, BASE: request.base },
      labels: { ...request.labels },
      ...chooseNetwork(await readFacts(docker)),
      rm: true,
      forcerm: true,
      ...(signal ? { abortSignal: signal } : {}),
    });
    for await (const event of readProgress(body)) {
      output.push(event.stream ?? '');
      const line = describeStep(event);
      if (line) report(`${request.title}: ${line}`);
    }
    const remark = request.remark?.(output.join(''));
    if (remark) report(remark);
  } catch (cause) {
    signal?.throwIfAborted();
    const explained = request.explain?.(output.join(''));
    if (explained) throw explained;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GloveboxError(
      'engine_unavailable',
      `${request.title} failed.\n${lastLines(`${output.join('')}\n${reason}`)}`,
      {
        hint: 'Correct the cause in the lines above, then start again. GLOVEBOX_INDEX_URL, HTTPS_PROXY and SSL_CERT_FILE set how to reach the package index. With userns-remap, a build reaches nothing on the loopback of this host.',
        cause,
      },
    );
  }
}

/** Chooses the network of a build. Docker refuses the host's to containers with remapped users. */
export function chooseNetwork({ SecurityOptions = [] }: EngineFacts): { readonly networkmode?: 'host' } {
  if (SecurityOptions.some((option) => option.startsWith('name=userns'))) return {};
  // A proxy, an index or a resolver on the loopback of this host can then be reached, and no bridge is needed.
  return { networkmode: 'host' };
}

/** Replaces `$BUILD` in the Dockerfile. A build argument would not do: its step makes an image without the label. */
function nameBuild({ files, dockerfile }: BuildRequest, build: string): ContextFile[] {
  return files.map(({ name, content }) =>
    name === dockerfile
      ? { name, content: Buffer.from(content.toString().replaceAll('$BUILD', build)) }
      : { name, content },
  );
}

/** Describes an event of a build: the step, or the package that is downloaded. Undefined for other events. */
export function describeStep({ stream }: ProgressEvent): string | undefined {
  const step = /^Step (\d+\/\d+) : (.*)/.exec(stream ?? '');
  if (step) return `step ${step[1]}: ${shorten(step[2] ?? '')}`;
  const pip = /^\s*(Collecting \S+|Installing collected packages)/.exec(stream ?? '');
  const apt = /^(Setting up \S+)/.exec(stream ?? '');
  return (pip ?? apt)?.[1]?.toLowerCase();
}

function shorten(instruction: string): string {
  const line = instruction.replace(/\s+/g, ' ').trim();
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}

/** Removes the stage images of `build`, and those of crashed builds, because they contain credentials. */
async function removeStages(docker: Dockerode, build: string, report: Report): Promise<void> {
  const deadline = Date.now() + REMOVAL_DEADLINE_MS;
  let left = await findStages(docker, build);
  while (left.length > 0) {
    // An image can be removed only when no other image and no container of an aborted step uses it, so try again.
    const removals = await Promise.allSettled(left.map((id) => docker.getImage(id).remove({ noprune: true })));
    left = await findStages(docker, build);
    if (removals.some(({ status }) => status === 'fulfilled')) continue;
    if (Date.now() > deadline) break;
    await sleep(200);
  }
  if (left.length === 0) return;
  report(`Intermediate images that may contain credentials could not be removed: docker rmi ${left.join(' ')}`);
}

async function findStages(docker: Dockerode, build: string): Promise<string[]> {
  const images = await docker.listImages({ all: true, filters: { label: [STAGE_LABEL] } });
  return images
    .filter(({ Labels, Created }) => Labels[STAGE_LABEL] === build || Created * 1000 < Date.now() - ABANDONED_AFTER_MS)
    .map(({ Id }) => Id);
}
