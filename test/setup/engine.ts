import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import type { TestProject } from 'vitest/node';
import { loadConfig } from '../../src/config/load.ts';
import { hasUserNamespaces, readFacts } from '../../src/engines/docker/connect/check-engine.ts';
import { findEngine } from '../../src/engines/docker/connect/connect.ts';
import { readPodmanVersion } from '../../src/engines/docker/connect/podman.ts';
import { ensureImage } from '../../src/engines/docker/images/sandbox-image.ts';
import { installEngine } from '../../src/engines/docker/install/install.ts';
import { isGvisor } from '../../src/engines/hardening/sandbox-limits.ts';
import { Glovebox } from '../../src/glovebox.ts';
import { createLog } from '../../src/log.ts';
import { explainLeft } from './server-notes.ts';
import { shareLooks } from './share-looks.ts';
import { readStateIds } from './state-ids.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The engine's address, as `DOCKER_HOST` has it. */
    engineAddress: string;
    /** Whether that is Podman. */
    isPodman: boolean;
    /** Whether it gives containers a user namespace. */
    isRemapped: boolean;
    /** Whether sandboxes run on gVisor's kernel. */
    isGvisor: boolean;
    /** `GLOVEBOX_RUNTIME`, with which all sandboxes of this run are made; empty for the engine's default. */
    runtime: string;
    /** `GLOVEBOX_ALLOW_MISSING`, what sandboxes of this run may lack; empty for nothing. */
    allowMissing: string;
    /** Holds the state directories of all servers of this run. */
    stateRoot: string;
  }
}

const report = (line: string) => process.stderr.write(`${line}\n`);

let finish: () => Promise<void> = async () => {};

/** Gets the machine an engine and the small sandbox image, whatever it has of them. */
export async function setup({ provide }: TestProject): Promise<void> {
  const config = loadConfig(undefined, { image: 'slim' });
  const found = await findEngine(config);
  const installed = found ? undefined : await installEngine(config, report);
  const { docker, address } = found ?? installed ?? unreachable();
  await ensureImage(docker, config, report);
  const stateRoot = mkdtempSync(join(tmpdir(), 'glovebox-test-'));
  await lookOnce(address, stateRoot);
  provide('engineAddress', address);
  provide('isPodman', readPodmanVersion(await docker.version()) !== undefined);
  provide('isRemapped', hasUserNamespaces(await readFacts(docker)));
  provide('isGvisor', isGvisor(config.runtime));
  provide('runtime', config.runtime ?? '');
  provide('allowMissing', config.allowMissing.join(','));
  provide('stateRoot', stateRoot);
  finish = async () => {
    try {
      await assertNothingLeft(docker, stateRoot);
    } finally {
      rmSync(stateRoot, { recursive: true, force: true });
      await installed?.stop();
    }
  };
}

/** Takes the look into a first sandbox for all servers of the run: on a busy machine, it takes seconds. */
async function lookOnce(address: string, stateRoot: string): Promise<void> {
  const own = { DOCKER_HOST: address, GLOVEBOX_STATE_DIR: mkdtempSync(join(stateRoot, 'first-')) };
  const settings = loadConfig({ ...process.env, ...own }, { image: 'slim', setup: 'never' });
  shareLooks(stateRoot, settings.stateDir);
  const options = { instance: 'first', log: createLog('error'), mayInstall: false };
  await using _glovebox = await Glovebox.open({ ...settings, poolSize: 0, poolMax: 0 }, options);
}

export async function teardown(): Promise<void> {
  await finish();
}

/** Every server of the run has ended: a sandbox that is still there is a leak, unless it is being removed already. */
async function assertNothingLeft(docker: Docker, stateRoot: string): Promise<void> {
  const ids = readStateIds(stateRoot);
  const containers = await docker.listContainers({ all: true, filters: { label: ['glovebox.instance'] } });
  const left = await Promise.all(
    containers.map(async ({ Id, Names, Labels, State, Status }) => {
      const instance = Labels['glovebox.instance'] ?? '';
      const stateDir = ids.get(instance.split('@')[1] ?? '');
      if (stateDir === undefined || !(await remove(docker, Id))) return [];
      const why = explainLeft(stateDir);
      return why === undefined ? [] : [`${Names[0]} of ${instance} (${State}, ${Status}; ${why})`];
    }),
  );
  const names = left.flat();
  if (names.length > 0) throw new Error(`Containers left by this run's servers:\n${names.join('\n')}`);
}

/** Removes a container. Returns false if it is gone, or is being removed, without us. */
async function remove(docker: Docker, id: string): Promise<boolean> {
  try {
    await docker.getContainer(id).remove({ force: true });
    return true;
  } catch (error) {
    const { statusCode } = error as { statusCode?: number };
    if (statusCode === 404 || statusCode === 409) return false;
    throw error;
  }
}

function unreachable(): never {
  throw new Error('There is neither a found nor an installed engine.');
}
