import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { loadConfig } from '../src/config/load.ts';
import { connectEngine } from '../src/engines/docker/connect/connect.ts';
import { AT_ONCE } from './batch.ts';
import { environment } from './environment.ts';
import { createFloors, type Floors, OWNER_LABEL } from './floors.ts';
import { installJupyter } from './jupyter.ts';
import { rate } from './measure.ts';
import { findPython } from './programs.ts';
import { type Server, startServer } from './server.ts';
import type { Facts } from './table.ts';

export interface SettingOptions {
  readonly quick: boolean;
  readonly image: string;
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
  readonly stateDir: string;
  /** Flags of every Glovebox of this run. */
  readonly flags: readonly string[];
  /** With a pool, as it comes. */
  readonly server: Server;
}

export async function openSetting({ quick, image, density, signal }: SettingOptions): Promise<Setting> {
  await using stack = new AsyncDisposableStack();
  const stateDir = mkdtempSync(join(tmpdir(), 'glovebox-bench-'));
  stack.defer(() => rmSync(stateDir, { recursive: true, force: true }));
  // The directory's id is in the labels of all that its Gloveboxes make: so what they should leave can be found.
  const id = randomBytes(4).toString('hex');
  writeFileSync(join(stateDir, 'id'), id, { mode: 0o600 });
  const owner = `bench@${randomBytes(4).toString('hex')}`;
  const flags = ['--state-dir', stateDir, '--image', image];
  // The server first: it finds the engine or installs it, and builds the image.
  const starting = new AsyncDisposableStack();
  const server = starting.use(await startServer(flags, signal));
  const { docker, address } = await connectEngine(loadConfig(environment()));
  // Disposed of in reverse: the server's own removal, then a look at what is left, then the directory.
  stack.defer(() => sweep(docker, (label) => label === owner || label.endsWith(`@${id}`), owner));
  stack.use(starting);
  const health = await server.health();
  const floors = await createFloors({ docker, address, image: health.image, owner });
  const python = await findPython();
  let installed: ReturnType<typeof installJupyter> | undefined;
  const jupyter = () => (installed ??= installJupyter(python, join(stateDir, 'jupyter')));
  const facts = {
    at: new Date().toISOString(),
    quick,
    image: health.image,
    engine: `${health.engine.name} ${health.engine.version}`,
    node: process.version,
    python,
    cpus: cpus().length,
    dockerRunBy: floors.runBy,
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
    stateDir,
    flags,
    server,
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
