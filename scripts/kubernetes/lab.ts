import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../src/lib/run-command.ts';
import { LabApi } from './api.ts';
import { createCertificates } from './certificates.ts';
import { type ControlPlanePart, controlPlaneFlags } from './control-plane.ts';
import { drainEtcd, fillEtcd } from './etcd.ts';
import { createGroups, removeGroups } from './groups.ts';
import { createPauseImage, imageId, importImage, saveImage } from './images.ts';
import { Layout, NODES, type NodeName } from './layout.ts';
import { createNetwork, cutLine, joinLine, removeNetwork } from './network.ts';
import { writeNodeFiles } from './node-files.ts';
import { firstChildOf, isAlive, type KnownProcess, killProcess, ownProcess, startDetached } from './processes.ts';
import { createState, isAbandoned, type LabState, listFolders, readState, writeState } from './state.ts';

const FIRST = fileURLToPath(new URL('node/first.sh', import.meta.url));
const KUBELET = fileURLToPath(new URL('node/kubelet.sh', import.meta.url));
const NAMESPACE = 'glovebox';
/** Longest waits in milliseconds; a machine that does much else is ten times slower. */
const START_LIMIT_MS = 60_000;
const CHILD_LIMIT_MS = 10_000;
const LOOK_EVERY_MS = 50;
/** Room of etcd where there are many thousands of objects, in bytes. */
const ROOM_FOR_MANY_BYTES = 4 * 2 ** 30;
/** Most characters of what a part said that did not start. */
const LOG_LIMIT = 2000;

type Report = (line: string) => void;

export interface LabOptions {
  readonly program: string;
  /** The process that the lab is to end with, or 'nobody'; this one if left out. */
  readonly owner?: KnownProcess | 'nobody';
  /** Images of this machine's Docker that the nodes are to have. */
  readonly images?: readonly string[];
  /** Whether it is an API server alone, with no node, no scheduler and no controller. */
  readonly apiOnly?: boolean;
  readonly report: Report;
}

/** A Kubernetes cluster of two nodes on this machine, each of them one tree of processes, with faults at command. */
export class Lab implements AsyncDisposable {
  readonly layout: Layout;
  readonly api: LabApi;
  #state: LabState;

  private constructor(layout: Layout, state: LabState) {
    this.layout = layout;
    this.#state = state;
    this.api = new LabApi(layout);
  }

  /** Sets a cluster up. @throws Error when it does not come up; nothing of it is left then */
  static async start({ program, owner = ownProcess(), images = [], apiOnly, report }: LabOptions): Promise<Lab> {
    await removeAbandoned();
    const { folder, state } = createState(program, owner === 'nobody' ? undefined : owner);
    const layout = new Layout(folder, state.number);
    try {
      report(`Setting up a cluster in ${folder} …`);
      await createCertificates(layout);
      await createNetwork(layout);
      const lab = new Lab(layout, state);
      if (apiOnly) {
        await lab.#startApi(ROOM_FOR_MANY_BYTES);
        return lab;
      }
      await Promise.all([lab.#startControlPlane(), lab.#prepareNodes(images)]);
      await Promise.all(NODES.map((node) => lab.startNode(node)));
      return lab;
    } catch (error) {
      await removeLab(folder);
      throw error;
    }
  }

  /** A lab that another process has set up. @throws Error when there is none in this folder */
  static open(folder: string): Lab {
    const state = readState(folder);
    if (!state) throw new Error(`There is no lab in ${folder}.`);
    return new Lab(new Layout(folder, state.number), state);
  }

  /** The lab of this machine whose API server is at a URL. */
  static find(url: string): Lab | undefined {
    // Others may be in the making, with no certificates yet.
    const found = listFolders().find((folder) => {
      const state = readState(folder);
      return state && new Layout(folder, state.number).apiUrl === url;
    });
    return found === undefined ? undefined : Lab.open(found);
  }

  /** Path of the administrator's kubeconfig. */
  get kubeconfig(): string {
    return this.layout.kubeconfig('admin');
  }

  /** Runs kubectl as the administrator. @throws Error with what it said */
  async kubectl(...args: string[]): Promise<string> {
    const options = ['kubectl', `--kubeconfig=${this.kubeconfig}`, ...args];
    const { code, stdout, stderr } = await runCommand(this.#state.program, options, { timeoutMs: START_LIMIT_MS });
    if (code !== 0) throw new Error(`"kubectl ${args.join(' ')}" failed: ${stderr.trim()}`);
    return stdout;
  }

  /** Gives all nodes images of this machine's Docker, unless they have them as they are now. */
  async importImages(...images: string[]): Promise<void> {
    for (const image of images) {
      const kept = await this.#imageFile(image);
      if (existsSync(kept)) continue;
      const file = `${kept}.${process.pid}`;
      await saveImage(image, file);
      const up = NODES.filter((node) => this.#isUp(node));
      await Promise.all(up.map((node) => importImage(this.layout.socket(node), file)));
      // A node that is started imports all files, and is not to get what the name stood for before.
      for (const older of this.#imageFiles().filter((name) => isOf(name, image))) rmSync(older);
      renameSync(file, kept);
    }
  }

  /** Cuts a node's power: all that runs on it is gone at once. */
  async killNode(node: NodeName): Promise<void> {
    await this.#kill(node);
    // All of it was in the process namespace of the first one.
    await removeGroups(this.layout.nodeId(node));
  }

  /** Starts a node that has none of its parts running, and waits until it is ready. */
  async startNode(node: NodeName): Promise<void> {
    const { layout } = this;
    const folder = layout.nodeFolder(node);
    createGroups(layout.nodeId(node));
    mkdirSync(folder, { recursive: true });
    // What a boot finds empty.
    for (const name of ['containerd-state', 'booted', 'containerd.sock', 'containerd.sock.ttrpc']) {
      rmSync(join(folder, name), { recursive: true, force: true });
    }
    const booted = join(folder, 'booted');
    const spaces = ['--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const inside = ['sh', FIRST, node, booted];
    this.#start(node, ['nsenter', `--net=/run/netns/${layout.nodeId(node)}`, 'unshare', ...spaces, '--', ...inside]);
    await awaitFile(booted, layout.log(node));
    await this.startContainerd(node);
    for (const file of this.#imageFiles()) await importImage(layout.socket(node), file);
    await this.startKubelet(node);
  }

  async startContainerd(node: NodeName): Promise<void> {
    const { containerdConfig } = writeNodeFiles(this.layout, node);
    await this.#enter(node, 'containerd', ['containerd', '--config', containerdConfig]);
    const socket = this.layout.socket(node);
    await awaitSuccess(
      () => runCommand('ctr', ['--address', socket, 'version']),
      this.layout.log(`${node}-containerd`),
    );
  }

  /** @param change what its configuration is to have instead of the usual */
  async startKubelet(node: NodeName, change: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const { kubeletConfig, kubeletFolder } = writeNodeFiles(this.layout, node, change);
    const { layout } = this;
    const values = join(layout.nodeFolder(node), 'kernel');
    const flags = [
      `--config=${kubeletConfig}`,
      `--kubeconfig=${layout.kubeconfig(node)}`,
      `--root-dir=${kubeletFolder}`,
    ];
    const place = [`--cert-dir=${join(kubeletFolder, 'pki')}`, `--hostname-override=${node}`];
    const command = [this.#state.program, 'kubelet', ...flags, ...place, `--node-ip=${layout.nodeAddress(node)}`];
    // Mounts of pods are to be seen by containerd: all but /proc stays shared.
    const own = ['unshare', '--mount', '--propagation', 'unchanged', 'sh', KUBELET, values];
    const since = Date.now();
    await this.#enter(node, 'kubelet', [...own, ...command]);
    await this.api.awaitNode(node, true, START_LIMIT_MS, since);
  }

  async killContainerd(node: NodeName): Promise<void> {
    await this.#kill(`${node}-containerd`);
  }

  async killKubelet(node: NodeName): Promise<void> {
    await this.#kill(`${node}-kubelet`);
  }

  /** Cuts a node off: packets to and from it disappear, and no connection ends. */
  async cutNode(node: NodeName): Promise<void> {
    await cutLine(this.layout, node);
  }

  async joinNode(node: NodeName): Promise<void> {
    await joinLine(this.layout, node);
  }

  async killApiServer(): Promise<void> {
    await this.#kill('kube-apiserver');
  }

  /** Waits until it is ready. */
  async startApiServer(): Promise<void> {
    this.#startPart('kube-apiserver');
    await this.api.awaitReady(START_LIMIT_MS);
  }

  /** Has etcd refuse everything but reads and deletions. */
  async fillEtcd(): Promise<void> {
    await fillEtcd(this.api);
  }

  async drainEtcd(): Promise<void> {
    await drainEtcd(this.api, this.layout.etcdUrl);
  }

  /** Ends all of it, and removes everything that it made. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.api.close();
    await removeLab(this.layout.folder);
  }

  async #startControlPlane(): Promise<void> {
    await this.#startApi();
    // They give up soon where nothing answers.
    for (const part of ['kube-controller-manager', 'kube-scheduler'] as const) this.#startPart(part);
  }

  /** @param etcdBytes room of etcd */
  async #startApi(etcdBytes?: number): Promise<void> {
    for (const part of ['etcd', 'kube-apiserver'] as const) this.#startPart(part, etcdBytes);
    await this.api.awaitReady(START_LIMIT_MS);
    await this.api.ensure('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
  }

  #startPart(part: ControlPlanePart, etcdBytes?: number): void {
    this.#start(part, [this.#state.program, part, ...controlPlaneFlags(part, this.layout, etcdBytes)]);
  }

  async #prepareNodes(images: readonly string[]): Promise<void> {
    const folder = join(this.layout.folder, 'images');
    mkdirSync(folder);
    await createPauseImage(this.layout.folder, join(folder, '0-pause.tar'));
    for (const image of images) await saveImage(image, await this.#imageFile(image));
  }

  async #imageFile(image: string): Promise<string> {
    const [, id] = (await imageId(image)).split(':');
    return join(this.layout.folder, 'images', `${fileName(image)}@${id}.tar`);
  }

  #imageFiles(): string[] {
    const folder = join(this.layout.folder, 'images');
    return readdirSync(folder)
      .filter((name) => name.endsWith('.tar'))
      .toSorted()
      .map((name) => join(folder, name));
  }

  #isUp(node: NodeName): boolean {
    const known = this.#state.processes[node];
    return known !== undefined && isAlive(known);
  }

  #start(name: string, command: readonly [string, ...string[]]): KnownProcess {
    const known = startDetached(command, this.layout.log(name));
    this.#record(name, known);
    return known;
  }

  /** Starts a program on a node. */
  async #enter(node: NodeName, part: string, command: readonly string[]): Promise<void> {
    const tree = this.#state.processes[node];
    if (!tree || !isAlive(tree)) throw new Error(`${node} is not running.`);
    const { pid } = await firstChildOf(tree, CHILD_LIMIT_MS);
    const spaces = ['--mount', '--uts', '--ipc', '--net', '--pid'];
    const name = `${node}-${part}`;
    const entry = startDetached(['nsenter', `--target=${pid}`, ...spaces, '--', ...command], this.layout.log(name));
    this.#record(name, await firstChildOf(entry, CHILD_LIMIT_MS));
  }

  async #kill(name: string): Promise<void> {
    this.#state = readState(this.layout.folder) ?? this.#state;
    const known = this.#state.processes[name];
    if (known) await killProcess(known);
  }

  #record(name: string, known: KnownProcess): void {
    const state = readState(this.layout.folder) ?? this.#state;
    this.#state = { ...state, processes: { ...state.processes, [name]: known } };
    writeState(this.layout.folder, this.#state);
  }
}

function fileName(image: string): string {
  return image.replaceAll(/[^\w.-]/g, '_');
}

/** Whether a file has an image of this name. */
function isOf(file: string, image: string): boolean {
  return basename(file).startsWith(`${fileName(image)}@`);
}

/** Removes what labs left whose process was killed. */
async function removeAbandoned(): Promise<void> {
  for (const folder of listFolders()) {
    const state = readState(folder);
    if (state && isAbandoned(state)) await removeLab(folder);
  }
}

/** Undoes a lab, whatever there is of it. */
export async function removeLab(folder: string): Promise<void> {
  const state = readState(folder);
  if (!state) return rmSync(folder, { recursive: true, force: true });
  const layout = new Layout(folder, state.number);
  // Nodes last: the API server would take long to end with none of its callers left.
  const all = Object.values(state.processes);
  await Promise.all(all.map((known) => killProcess(known)));
  await Promise.all(NODES.map((node) => removeGroups(layout.nodeId(node))));
  await removeNetwork(layout);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

async function awaitFile(path: string, log: string): Promise<void> {
  await awaitSuccess(async () => ({ code: existsSync(path) ? 0 : 1 }), log);
}

async function awaitSuccess(attempt: () => Promise<{ readonly code: number | null }>, log: string): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS;
  while ((await attempt()).code !== 0) {
    if (Date.now() > deadline)
      throw new Error(`A part of the lab did not start:\n${readFileSync(log, 'utf8').slice(-LOG_LIMIT)}`);
    await sleep(LOOK_EVERY_MS);
  }
}
