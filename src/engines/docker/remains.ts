import type Docker from 'dockerode';
import type { Log } from '../../log.ts';
import type { SandboxInfo } from '../../sandbox/engine.ts';
import type { EngineRemains, RemainingImage } from '../remains.ts';
import { explain } from './answer.ts';
import { connectEngine } from './connect/connect.ts';
import { openDriver } from './drivers/open-driver.ts';
import { DockerEngine } from './engine.ts';
import type { DockerSettings } from './index.ts';
import { statusOf } from './inspect.ts';
import { readInstalled } from './install/installed-file.ts';
import { readList } from './told.ts';

/** Names of images that Glovebox builds. Podman puts a host before them. */
const BUILT = /^(?:localhost\/)?glovebox-(?:sandbox|packages|base|node|hold):/;
/** Name of the image of the control plane. Another program may have it too, so a label decides. */
const CONTROL = /^(?:localhost\/)?glovebox:/;
const TITLE = 'org.opencontainers.image.title';
/** An image that a container uses, or that another one is built on. */
const IN_USE = 409;

/** Finds what Glovebox has left on an engine. @throws GloveboxError `engine_unavailable` when it does not answer */
export async function findRemains(settings: DockerSettings, log: Log): Promise<EngineRemains> {
  const { docker, address } = await connectEngine(settings);
  const engine = new DockerEngine(docker, await openDriver(docker, { ...settings, address }), log);
  const { name, version } = await engine.info();
  const images = readList(await explain(docker.listImages()), 'images');
  return {
    engine: `${name} ${version} at ${address}`,
    sandboxes: await engine.list(),
    // What is built on another one is younger, and goes first.
    images: images.toSorted((one, other) => other.Created - one.Created).flatMap(ours),
    installedAt: readInstalled(settings.stateDir),
    removeSandbox: async ({ ref }: SandboxInfo) => await engine.remove(ref),
    removeImage: async (image) => await removeImage(docker, image),
  };
}

/**
 * Returns an image as far as it is ours: by the names that we give. An image that somebody has built on ours has our labels
 * too. Of untagged images, only that of an earlier control plane is known to be ours.
 */
function ours({ Id: id, RepoTags, Labels, Size: size }: Docker.ImageInfo): RemainingImage[] {
  // Where there are none, some engines answer null.
  const tags = (RepoTags ?? []).filter((tag) => tag !== '<none>:<none>');
  const isControl = Labels?.[TITLE] === 'Glovebox';
  const names = tags.filter((tag) => BUILT.test(tag) || (isControl && CONTROL.test(tag)));
  return names.length > 0 || (isControl && tags.length === 0) ? [{ id, names, size }] : [];
}

/** Removes an image by those names. What has others is kept by them. @returns whether it is gone */
async function removeImage(docker: Docker, { id, names }: RemainingImage): Promise<boolean> {
  for (const name of names.length > 0 ? names : [id]) {
    try {
      // Without a limit: many layers take long.
      await docker.getImage(name).remove();
    } catch (error) {
      const status = statusOf(error);
      if (status === IN_USE) return false;
      // The removal of an image that is built on it has taken it along.
      if (status !== 404) throw error;
    }
  }
  return true;
}
