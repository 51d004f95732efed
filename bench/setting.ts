import { randomBytes } from 'node:crypto';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { loadConfig } from '../src/config/load.ts';
import { connectEngine } from '../src/engines/docker/connect/connect.ts';
import { type Build, prepareBuild } from './against/build.ts';
import { buildRef } from './against/ref.ts';
import { AT_ONCE } from './batch.ts';
import { environment } from './environment.ts';
import { createFloors, type Floors, OWNER_LABEL } from './floors.ts';
import { installJupyter } from './jupyter.ts';
import { rate } from './measure.ts';
import { findPython } from './programs.ts';
import type { Facts } from './table.ts';

export interface SettingOptions {
  readonly quick: boolean;
  readonly image: string;
  /** Commit that is built and measured beside this build. */
  readonly against: string | undefined;
  /** Sessions that are to live at once. */
  readonly density: number;
  readonly signal: AbortSignal;
}

/** What all parts of a run share. Disposing it removes everything that the run made. */
export interface Setting extends AsyncDisposable {
  readonly facts: Facts;
  readonly quick: boolean;
  readonly density: number;
  readonly signal: AbortSignal;
  /** The machine's own interpreter. */
  readonly python: string;
  readonly docker: Docker;
  readonly floors: Floors;
  /** How to open Jupyter, which is installed when it is first asked for; undefined where that fails. */
  readonly jupyter: () => ReturnType<typeof installJupyter>;
  /** This build, and after it the one that it is compared with, if any. */
  readonly builds: readonly [Build, ...Build[]];
}

export async function openSetting({ quick, image, density, against, signal }: SettingOptions): Promise<Setting> {
  const ref = against === undefined ? undefined : await buildRef(against);
  await using stack = new AsyncDisposableStack();
  const prepared = (ref ? [undefined, ref] : [undefined]).map((other) => stack.use(prepareBuild(other, image, signal)));
  const owner = `bench@${randomBytes(4).toString('hex')}`;
  // The servers first: the first finds the engine or installs it, and builds the image.
  const starting = new AsyncDisposableStack();
  const builds: Build[] = [];
  for (const build of prepared) builds.push({ ...build, server: starting.use(await build.start([])) });
  const [own, ...others] = builds;
  if (own === undefined) throw new Error('There is nothing to measure.');
  const { docker, address } = await connectEngine(loadConfig(environment()));
  // Disposed of in reverse: the server's own removal, then a look at what is left, then the directory.
  stack.defer(() =>
    sweep(docker, (label) => label === owner || prepared.some(({ id }) => label.endsWith(`@${id}`)), owner),
  );
  stack.use(starting);
  const health = await own.server.health();
  const floors = await createFloors({ docker, address, image: health.image, owner });
  const python = await findPython();
  let installed: ReturnType<typeof installJupyter> | undefined;
  const jupyter = () => (installed ??= installJupyter(python, join(own.stateDir, 'jupyter')));
  const facts = {
    at: new Date().toISOString(),
    quick,
    image: health.image,
    engine: `${health.engine.name} ${health.engine.version}`,
    node: process.version,
    python,
    cpus: cpus().length,
    dockerRunBy: floors.runBy,
    ...(ref ? { against: ref.name } : {}),
  };
  const owned = stack.move();
  const dispose = () => owned.disposeAsync();
  return {
    facts,
    quick,
    density,
    signal,
    python,
    docker,
    floors,
    jupyter,
    builds: [own, ...others],
    [Symbol.asyncDispose]: dispose,
  };
}

/** Removes every container whose label is of this run. Only those of `owner`, the floors' own, are expected here. */
async function sweep(docker: Docker, isOurs: (label: string) => boolean, owner: string): Promise<void> {
  const all = await docker.listContainers({ all: true, filters: { label: [OWNER_LABEL] } });
  const ours = all.filter(({ Labels }) => isOurs(Labels[OWNER_LABEL] ?? ''));
  await rate(ours.length, AT_ONCE, async (at) => {
    const { Id = '', Labels = {} } = ours[at] ?? {};
    if (Labels[OWNER_LABEL] !== owner) process.stderr.write(`A Glovebox left the container ${Id.slice(0, 12)}.\n`);
    await docker
      .getContainer(Id)
      .remove({ force: true })
      .catch(() => {});
  });
}
