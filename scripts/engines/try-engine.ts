import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { loadConfig } from '../../src/config/load.ts';
import { GloveboxError } from '../../src/errors.ts';
import { Glovebox } from '../../src/glovebox.ts';
import { aborted, within } from '../../src/lib/deadline.ts';
import { createLog } from '../../src/log.ts';
import type { Shortfall } from '../../src/sandbox/assurances.ts';
import type { EngineEntry, KnownEngine } from './catalog.ts';
import { buildSandboxImage, loadSandboxImage, openMachineEngine } from './images.ts';
import { startInMachine } from './machine/machine.ts';
import type { EngineResult } from './results.ts';
import { type RunningEngine, type StartOptions, startEngine } from './services.ts';
import { unlessAborted } from './stop.ts';
import { mayRun, runSuite, type SuiteName } from './suites.ts';

/** Longest wait for what has lost its engine, in milliseconds. */
const SETTLE_LIMIT_MS = 10_000;

/** One that is set up, or that of the machine. */
type AnyEngine = EngineEntry | KnownEngine;
type UsedEngine = Omit<RunningEngine, 'folder'>;

/** What of an engine's words is not in the types of its client. */
interface Facts {
  readonly Components?: readonly { readonly Name: string; readonly Version: string }[];
}

export interface TryOptions {
  readonly suites: readonly SuiteName[];
  /** Whether the engine builds the sandbox image itself, instead of loading it. */
  readonly builds: boolean;
  readonly report: (line: string) => void;
  readonly signal: AbortSignal;
  /** Takes what was seen so far after each suite: a run may be stopped before its end. */
  readonly onSeen: (result: EngineResult) => void;
}

/**
 * Sets an engine up, runs the suites on it, and removes it.
 * @returns what was seen, with nothing missing of what was asked for
 */
export async function tryEngine(entry: AnyEngine, options: TryOptions): Promise<EngineResult> {
  const { builds, report, signal } = options;
  const say = (line: string) => report(`${entry.name}: ${line}`);
  let work: Promise<EngineResult> | undefined;
  try {
    await using engine = await start(entry, { hasNetwork: builds, report: say, signal });
    work = useEngine(entry, engine, { ...options, report: say });
    return await unlessAborted(work, signal);
  } finally {
    // With the engine gone it ends, and removes its files.
    await within(SETTLE_LIMIT_MS, Promise.allSettled([work]));
  }
}

async function start(entry: AnyEngine, options: StartOptions): Promise<UsedEngine> {
  if (!('kind' in entry)) return await useMachineEngine(options);
  return await (entry.isVirtual ? startInMachine : startEngine)(entry, options);
}

async function useMachineEngine({ report, signal }: StartOptions): Promise<UsedEngine> {
  const machine = await openMachineEngine(report, signal);
  const { Components = [] } = (await machine.docker.version()) as Facts;
  const versions = Components.map(({ Name, Version }) => `${Name} ${Version}`).join(', ');
  return { ...machine, env: {}, versions };
}

async function useEngine(
  entry: KnownEngine,
  { address, docker, versions, ...engine }: UsedEngine,
  { suites, builds, report: say, signal, onSeen }: TryOptions,
): Promise<EngineResult> {
  say(`${versions} at ${address}`);
  await (builds ? buildSandboxImage(docker, say, signal) : loadSandboxImage(docker, say, signal));
  const env = {
    DOCKER_HOST: address,
    GLOVEBOX_IMAGE: 'slim',
    ...engine.env,
    ...(entry.runtime ? { GLOVEBOX_RUNTIME: entry.runtime } : {}),
    ...(entry.allowed ? { GLOVEBOX_ALLOW_MISSING: entry.allowed.join(',') } : {}),
  };
  const about = {
    ...{ name: entry.name, title: entry.title, versions, date: new Date().toISOString().slice(0, 10) },
    ...(await readKernel(docker)),
  };
  // The address is of this run alone.
  const { reason, missing = [] } = await askProduct(env);
  const refused = reason?.replaceAll(address, 'unix:///run/engine.sock');
  if (refused !== undefined) {
    say(`refused: ${refused}`);
    return { ...about, refused, suites: {} };
  }
  // Hostile code may not run where limits are missing.
  if (entry.refused) throw new Error('It was to be refused, and is not.');
  let result: EngineResult = { ...about, ...(missing.length > 0 ? { missing } : {}), suites: {} };
  if (missing.length > 0) say(`missing, as allowed: ${missing.map(({ name }) => name).join(', ')}`);
  for (const name of suites.filter((one) => mayRun(one, missing))) {
    const lines = await runSuite(name, { env, signal, ...(entry.isVirtual ? { workers: 1 } : {}) });
    const failed = lines.filter(({ outcome }) => outcome === 'failed');
    say(`${name}: ${lines.filter(({ outcome }) => outcome === 'held').length} held, ${failed.length} failed`);
    for (const { title, why } of failed) say(`  ${title}: ${why}`);
    result = { ...result, suites: { ...result.suites, [name]: lines } };
    onSeen(result);
  }
  return result;
}

/** Sets engines up, tells where they are, and removes them once the signal aborts. */
export async function holdEngines(
  entries: readonly AnyEngine[],
  report: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  for (const entry of entries) {
    const engine = stack.use(await start(entry, { hasNetwork: true, report, signal }));
    await loadSandboxImage(engine.docker, report, signal);
    const runtime = entry.runtime ? ` GLOVEBOX_RUNTIME=${entry.runtime}` : '';
    const env = Object.entries(engine.env).map(([name, value]) => ` ${name}=${value}`);
    report(`${entry.title}: DOCKER_HOST=${engine.address}${runtime}${env.join('')}`);
  }
  await aborted(signal);
}

/** Has the product run code on the engine. Returns why it does not, in its own words, or what it has to do without. */
async function askProduct(
  env: Readonly<Record<string, string>>,
): Promise<{ readonly reason?: string; readonly missing?: readonly Shortfall[] }> {
  const stateDir = mkdtempSync(join(env['TMPDIR'] ?? tmpdir(), 'glovebox-engines-'));
  try {
    const config = loadConfig(
      { HOME: homedir(), ...env, GLOVEBOX_STATE_DIR: stateDir },
      { image: 'slim', setup: 'never' },
    );
    await using glovebox = await Glovebox.open(config, {
      ...{ instance: 'engines', log: createLog('error'), mayInstall: false },
    });
    await glovebox.health(true);
    return { missing: glovebox.missing };
  } catch (error) {
    if (!(error instanceof GloveboxError)) throw error;
    return { reason: error.message };
  } finally {
    rmSync(stateDir, { recursive: true, force: true });
  }
}

/** What the engine says of its kernel, without what the maker of the machine has added to the version. */
async function readKernel(docker: Docker): Promise<Pick<EngineResult, 'kernel' | 'cgroupVersion'>> {
  const facts = (await docker.info()) as { readonly CgroupVersion?: string; readonly KernelVersion?: string };
  return {
    kernel: (facts.KernelVersion ?? release()).replace(/[-+].*$/, ''),
    cgroupVersion: facts.CgroupVersion ?? 'unknown',
  };
}
