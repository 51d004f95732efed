import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type Dockerode from 'dockerode';
import { GloveboxError } from '../../../errors.ts';
import { lastLines, type ProgressEvent, type Report, readProgress, withoutRepeats } from '../host/progress.ts';
import { type ContextFile, packContext } from './build-context.ts';

/** Carried by the images of a stage that held credentials; its value is the build that made them. */
const STAGE_LABEL = 'glovebox.build';
/** A stage older than this belongs to a build that died: no build takes so long. */
const ABANDONED_AFTER_MS = 2 * 3600 * 1000;
const REMOVAL_DEADLINE_MS = 10_000;

export interface BuildRequest {
  readonly tag: string;
  readonly dockerfile: string;
  readonly files: readonly ContextFile[];
  readonly base: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Predefined proxy arguments: the engine keeps them out of the image and its history. */
  readonly proxy: Readonly<Record<string, string>>;
  /** What the progress lines begin with. */
  readonly title: string;
  /** The error to throw when a build with this output has failed, if it says more than the output's last lines. */
  readonly explain?: (output: string) => GloveboxError | undefined;
}

/**
 * Builds and tags an image. The Dockerfile gets the argument `BASE`, and a text for `$BUILD`:
 * stages that label themselves `glovebox.build=$BUILD` are removed afterwards, however the build ends.
 * @throws GloveboxError `engine_unavailable` with the last lines of the build's output, or as explained.
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
      buildargs: { ...request.proxy, BASE: request.base },
      labels: { ...request.labels },
      // A proxy, an index or a resolver on this host's loopback is then within reach, and no bridge is needed.
      networkmode: 'host',
      rm: true,
      forcerm: true,
      ...(signal ? { abortSignal: signal } : {}),
    });
    for await (const event of readProgress(body)) {
      output.push(event.stream ?? '');
      const line = describeStep(event);
      if (line) report(`${request.title}: ${line}`);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    const explained = request.explain?.(output.join(''));
    if (explained) throw explained;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GloveboxError(
      'engine_unavailable',
      `${request.title} failed.\n${lastLines(`${output.join('')}\n${reason}`)}`,
      {
        hint: 'Correct what the lines above name (GLOVEBOX_INDEX_URL, HTTPS_PROXY and SSL_CERT_FILE say how to reach the package index), then start again.',
        cause,
      },
    );
  }
}

/** As text, for the step that declares an argument would leave an image before the label's. */
function nameBuild({ files, dockerfile }: BuildRequest, build: string): ContextFile[] {
  return files.map(({ name, content }) =>
    name === dockerfile
      ? { name, content: Buffer.from(content.toString().replaceAll('$BUILD', build)) }
      : { name, content },
  );
}

/** What an event of a build tells the reader, if anything: the step, or the package being fetched. */
export function describeStep({ stream }: ProgressEvent): string | undefined {
  const step = /^Step (\d+\/\d+) : (.*)/.exec(stream ?? '');
  if (step) return `step ${step[1]}: ${shorten(step[2] ?? '')}`;
  const pip = /^\s*(Collecting \S+|Installing collected packages)/.exec(stream ?? '');
  return pip?.[1]?.toLowerCase();
}

function shorten(instruction: string): string {
  const line = instruction.replace(/\s+/g, ' ').trim();
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}

/** Removes the images that `build` left behind, and those of builds that died: credentials were copied into them. */
async function removeStages(docker: Dockerode, build: string, report: Report): Promise<void> {
  const deadline = Date.now() + REMOVAL_DEADLINE_MS;
  let left = await findStages(docker, build);
  while (left.length > 0) {
    // An image goes only when no other is built on it and no container of an aborted step uses it: go round again.
    const removals = await Promise.allSettled(left.map((id) => docker.getImage(id).remove({ noprune: true })));
    left = await findStages(docker, build);
    if (removals.some(({ status }) => status === 'fulfilled')) continue;
    if (Date.now() > deadline) break;
    await sleep(200);
  }
  if (left.length === 0) return;
  report(`Intermediate images that may hold credentials are left: docker rmi ${left.join(' ')}`);
}

async function findStages(docker: Dockerode, build: string): Promise<string[]> {
  const images = await docker.listImages({ all: true, filters: { label: [STAGE_LABEL] } });
  return images
    .filter(({ Labels, Created }) => Labels[STAGE_LABEL] === build || Created * 1000 < Date.now() - ABANDONED_AFTER_MS)
    .map(({ Id }) => Id);
}
