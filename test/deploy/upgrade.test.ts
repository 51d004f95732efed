import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { pack } from 'tar-stream';
import { afterAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';
import { untilSaved } from '../support/archives.ts';
import { freePort } from '../support/free-port.ts';
import { openSession, runPython, userOf } from '../support/rest-client.ts';
import { containerOfUser, containersOf, engine, newStateDir, startServer } from '../support/server.ts';

const FRAMES = new URL('../../sandbox-image/runner/_glovebox/wire/frames.py', import.meta.url);
const ENV = { GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_CHECKPOINT_AFTER_S: '1' };
const made: string[] = [];

const sandboxImage = () => ensureImage(engine(), loadConfig(undefined, { image: 'slim' }), () => {});

/** The sandbox image as another release has it: the same with another `frames.py`, by another name. */
async function otherImage(name: string, frames: string): Promise<string> {
  const container = await engine().createContainer({ Image: await sandboxImage(), User: '0' });
  try {
    const archive = pack();
    archive.entry({ name: 'frames.py', mode: 0o644 }, frames);
    archive.finalize();
    await container.putArchive(Readable.from(archive), { path: '/opt/glovebox/runner/_glovebox/wire' });
    const reference = `glovebox-test/${name}:${container.id.slice(0, 12)}`;
    const [repo, tag] = reference.split(':');
    await container.commit({ repo, tag });
    made.push(reference);
    return reference;
  } finally {
    await container.remove({ force: true });
  }
}

/** Puts a container of another image in the place of one: the same name, labels and limits. */
async function replace(container: Docker.Container, image: string): Promise<void> {
  const { Name, Config, HostConfig } = await container.inspect();
  await container.remove({ force: true });
  const { User, Entrypoint, Cmd, Labels, Env } = Config;
  const options = { User, Entrypoint: Entrypoint as string[], Cmd, Labels, Env, HostConfig };
  await (await engine().createContainer({ name: Name.slice(1), Image: image, ...options })).start();
}

afterAll(async () => {
  for (const image of made) await engine().getImage(image).remove({ force: true });
});

async function imagesOf(server: { readonly stateDir: string }): Promise<string[]> {
  const found = await containersOf(server);
  return await Promise.all(found.map(async ({ Id }) => (await engine().getContainer(Id).inspect()).Config.Image));
}

describe('a server with a newer sandbox image', () => {
  test('goes on with sessions of the older one, contexts and all, and begins new ones with its own', async () => {
    const older = await otherImage('older', `${readFileSync(FRAMES, 'utf8')}\n# An older release.\n`);
    const place = { stateDir: newStateDir(), port: await freePort() };
    await using first = await startServer({ ...place, env: { ...ENV, GLOVEBOX_IMAGE: older } });
    const id = await openSession(first);
    await runPython(first, 'x = 41', { session_id: id, context: 'c' });
    await first.kill();

    await using second = await startServer({ ...place, env: ENV });
    const next = await runPython(second, 'x += 1; print(x)', { session_id: id, context: 'c' });
    expect(next).toMatchObject({ stdout: '42\n' });
    expect(next).not.toHaveProperty('session_reset');
    await openSession(second, 'new');
    const images = await imagesOf(second);
    expect(images.toSorted()).toEqual([older, await sandboxImage()].toSorted());
  });

  test('goes on from its checkpoint with a session whose runner speaks another protocol, and says so once', async () => {
    const frames = readFileSync(FRAMES, 'utf8').replace(/^PROTOCOL_VERSION = \d+$/m, 'PROTOCOL_VERSION = 0');
    const older = await otherImage('incompatible', frames);
    const place = { stateDir: newStateDir(), port: await freePort(), env: ENV };
    await using first = await startServer(place);
    const id = await openSession(first);
    await runPython(first, 'x = 1; open("mine", "w").write("here")', { session_id: id, context: 'c' });
    await untilSaved(first);
    const { id: name } = await containerOfUser(first, await userOf(first, id));
    await first.kill();
    await replace(engine().getContainer(name), older);

    await using second = await startServer(place);
    const next = await runPython(second, 'print(open("mine").read())', { session_id: id });
    expect(next).toMatchObject({
      status: 'ok',
      stdout: 'here\n',
      session_reset: {
        reason: 'runner_incompatible',
        lost: ['files', 'contexts', 'background'],
        restored_from: expect.any(String),
      },
    });
    expect(await runPython(second, 'print(1)', { session_id: id })).not.toHaveProperty('session_reset');
    const images = await imagesOf(second);
    expect(images).toEqual([await sandboxImage()]);
  });
});
