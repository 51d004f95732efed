import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type Docker from 'dockerode';
import { expect, inject } from 'vitest';
import { createDockerClient } from '../../src/engines/docker/connect/connect.ts';
import { MAIN_UID } from '../../src/engines/docker/hardening/spec.ts';
import { noteServer, type ServerNote } from '../setup/server-notes.ts';
import { shareLooks } from '../setup/share-looks.ts';
import { deletePod, listPods, listProcessesOfPod } from './pods-of.ts';
import { listProcessesInside, type SeenProcess } from './processes-inside.ts';

export const CLI = fileURLToPath(new URL('../../dist/cli.js', import.meta.url));
/** An engine has been found and an image built before any test: a start takes a moment. */
const START_LIMIT_MS = 30_000;
/** In a cluster, a server with settings that none had before looks into a pod, whose start has half a minute as the look. */
const CLUSTER_START_LIMIT_MS = 75_000;
/** A server that makes no progress ends itself 15 seconds after the last. */
const STOP_LIMIT_MS = 45_000;
/** Characters of what a server said last that are noted when it ends badly. */
const LAST = 500;

export interface ServerOptions {
  /** Settings besides those that every test server has. */
  readonly env?: Readonly<Record<string, string>>;
  /** One of an earlier server, to continue with what that left. */
  readonly stateDir?: string;
  readonly port?: number;
  /** The program; that of this build if left out. */
  readonly cli?: string;
  /** Words before the command, such as those that run it in a network of its own. */
  readonly prefix?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `glovebox serve` as a process of its own, over a state directory of its own. */
export interface Server extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly stateDir: string;
  readonly exited: Promise<Exit>;
  /** All that it has said so far. */
  stderr(): string;
  /** Asks it to end and waits until it has. */
  stop(signal?: NodeJS.Signals): Promise<Exit>;
  /** Ends it as a crash does: nothing is put in order. */
  kill(): Promise<void>;
}

let docker: Docker | undefined;

export function engine(): Docker {
  const address = inject('engineAddress');
  docker ??= createDockerClient({ address, source: 'the test run' });
  return docker;
}

/** A state directory that the end of the run looks into for what was left, and removes. */
export function newStateDir(): string {
  const directory = join(inject('stateRoot'), randomBytes(6).toString('hex'));
  mkdirSync(directory, { mode: 0o700 });
  shareLooks(inject('stateRoot'), directory);
  return directory;
}

/** The environment of a product's process: this one's without its settings, and those of a test. */
export function environment(stateDir: string, env: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('GLOVEBOX_'));
  return {
    ...Object.fromEntries(inherited),
    ...engineSettings(),
    ...(inject('runtime') ? { GLOVEBOX_RUNTIME: inject('runtime') } : {}),
    ...(inject('allowMissing') ? { GLOVEBOX_ALLOW_MISSING: inject('allowMissing') } : {}),
    GLOVEBOX_SETUP: 'never',
    GLOVEBOX_STATE_DIR: stateDir,
    ...env,
  };
}

/** Whether the run's servers have their sandboxes in a cluster. */
export function isCluster(): boolean {
  return inject('clusterFolder') !== undefined;
}

function startLimitMs(): number {
  return isCluster() ? CLUSTER_START_LIMIT_MS : START_LIMIT_MS;
}

/** Settings by which a product's process finds the engine of the run. */
function engineSettings(): NodeJS.ProcessEnv {
  if (!isCluster()) return { DOCKER_HOST: inject('engineAddress'), GLOVEBOX_IMAGE: 'slim' };
  return { GLOVEBOX_ENGINE: 'kubernetes', GLOVEBOX_IMAGE: process.env['GLOVEBOX_IMAGE'] };
}

export async function startServer({
  env = {},
  stateDir = newStateDir(),
  port = 0,
  cli = CLI,
  prefix = [],
}: ServerOptions = {}): Promise<Server> {
  const settings = environment(stateDir, { GLOVEBOX_PORT: String(port), ...env });
  const [command = '', ...words] = [...prefix, process.execPath, cli, 'serve'];
  const child = spawn(command, words, { env: settings, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = exitOf(child);
  const { testPath = 'no test', currentTestName = 'the set-up of its file' } = expect.getState();
  const note = (event: ServerNote['event']) => {
    if (dirname(stateDir) === inject('stateRoot'))
      noteServer(stateDir, { test: `${testPath} > ${currentTestName}`, event });
  };
  note('started');
  let said = '';
  const url = await new Promise<string>((resolve, reject) => {
    const refuse = (why: string) => reject(new Error(`The server ${why}:\n${said}`));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      refuse('did not start in time');
    }, startLimitMs());
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const line = /serves on (http:\/\/\S+)/.exec(said);
      if (!line?.[1]) return;
      clearTimeout(timer);
      resolve(line[1]);
    });
    void exited.then(({ code }) => {
      clearTimeout(timer);
      refuse(`ended with code ${code}`);
    });
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    child.kill(signal);
    const exit = await withDeadline(exited, STOP_LIMIT_MS, () => `The server did not end at ${signal}:\n${said}`);
    const { code } = exit;
    if (signal === 'SIGKILL') note('killed by the test');
    else note(`ended with ${code === 0 ? 'code 0' : `code ${code}, ${exit.signal}: ${said.slice(-LAST)}`}`);
    return exit;
  };
  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid ?? 0,
    stateDir,
    exited,
    stderr: () => said,
    stop,
    kill: async () => void (await stop('SIGKILL')),
    [Symbol.asyncDispose]: async () => {
      if (running()) await stop();
    },
  };
}

export interface CliResult extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the product to its end, with nothing on its stdin. */
export async function runCli(args: readonly string[], env: NodeJS.ProcessEnv): Promise<CliResult> {
  return await runToEnd(process.execPath, [CLI, ...args], env);
}

/** Runs a line of a shell to its end. */
export async function runShell(line: string): Promise<CliResult> {
  return await runToEnd('/bin/sh', ['-c', line]);
}

/** Runs a command to its end. */
export async function runToEnd(command: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...(env ? { env } : {}) });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const say = () => `${command} ${args.join(' ')} did not end:\n${stderr}`;
  const exit = await withDeadline(exitOf(child), startLimitMs(), say, () => child.kill('SIGKILL'));
  return { ...exit, stdout, stderr };
}

/** How a process ended, once all that it wrote has come. */
export function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
}

export async function withDeadline<T>(
  promise: Promise<T>,
  limitMs: number,
  say: () => string,
  onLate: () => void = () => {},
): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    onLate();
    late.reject(new Error(say()));
  }, limitMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** A container of Docker's, or a pod, in a list of its engine. */
export interface ListedContainer {
  readonly Id: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** The same by itself: what an operator does to it. */
export interface SeenContainer {
  readonly id: string;
  remove(options: { force: true }): Promise<unknown>;
  stop(options: { t: 0 }): Promise<unknown>;
}

/** Every container that a server over this state directory made, whatever its instance. */
export async function containersOf({ stateDir }: { readonly stateDir: string }): Promise<ListedContainer[]> {
  const id = readFileSync(join(stateDir, 'id'), 'utf8');
  if (isCluster()) return await listPods(id);
  const all = await engine().listContainers({ all: true, filters: { label: ['glovebox.key'] } });
  return all.filter(({ Labels }) => Labels['glovebox.instance']?.endsWith(`@${id}`));
}

/** The container whose code runs as that user. */
export async function containerOfUser(server: { readonly stateDir: string }, uid: number): Promise<SeenContainer> {
  const found = (await containersOf(server)).find(({ Labels }) => Labels['glovebox.uid'] === String(uid));
  if (!found) throw new Error(`No container has the user ${uid}.`);
  return seenContainer(found.Id);
}

export function seenContainer(id: string): SeenContainer {
  return isCluster() ? { id, remove: () => deletePod(id), stop: () => deletePod(id) } : engine().getContainer(id);
}

/** Arguments of the processes that run as the sandbox's user, as the engine sees them. */
export async function processesOf(container: SeenContainer, uid: number): Promise<string[]> {
  const live = (await listProcesses(container)).filter(({ state }) => !state.startsWith('Z'));
  return live.filter((process) => process.uid === uid).map(({ args }) => args);
}

/** The processes of a container, as the engine sees them, with their users as the container has them. */
export async function listProcesses({ id }: SeenContainer): Promise<SeenProcess[]> {
  if (isCluster()) return await listProcessesOfPod(id);
  const container = engine().getContainer(id);
  if (inject('isGvisor')) return await listProcessesInside(container);
  const columns = inject('isPodman') ? 'pid,uid,state,args' : '-eo pid,uid,stat,args';
  const { Processes = [] }: { Processes?: string[][] } = await container.top({ ps_args: columns });
  const rows = Processes.map(([, uid, state = '', ...args]) => ({ uid: Number(uid), state, args: args.join(' ') }));
  // With remapped users, the host has all under higher numbers. No user of a sandbox has a higher one than the main process.
  const offset = Math.max(0, ...rows.map(({ uid }) => uid)) - MAIN_UID;
  return rows.map((row) => ({ ...row, uid: row.uid - offset }));
}

/** Processor time in seconds that the first thread of a process has used: in a server, the one that answers. */
export function mainThreadCpuS(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8');
  const [user, system] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14);
  // The kernel tells it in hundredths of a second (USER_HZ).
  return (Number(user) + Number(system)) / 100;
}

/** Memory of a process that is in use now. */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}
