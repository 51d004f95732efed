import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { containerOf } from '../../bench/sandboxes.ts';
import type { LabApi } from '../../scripts/kubernetes/api.ts';
import { LABELS } from '../../src/engines/kubernetes/pod-spec.ts';

const PODS = '/api/v1/namespaces/glovebox/pods';
const FINISH_LIMIT_MS = 90_000;
const LOOK_EVERY_MS = 200;
const RUNNER = /^python3 -I -c .*\/opt\/glovebox\/runner/s;
const MAIN_PROCESS = /^\/opt\/glovebox\/hold hold /;

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly status?: { readonly phase?: string };
}

/** The pods of a server as an operator reaches them: blows that it does not see coming. */
export class Pods {
  readonly #api: LabApi;
  readonly #stateDir: string;

  constructor(api: LabApi, stateDir: string) {
    this.#api = api;
    this.#stateDir = stateDir;
  }

  async remove(session: string, owner: string): Promise<void> {
    const pod = await this.#of(session, owner);
    if (pod) await this.#api.call('DELETE', `${PODS}/${pod.metadata.name}`);
  }

  async endContainer(session: string, owner: string): Promise<void> {
    await this.#killOldest(session, owner, MAIN_PROCESS);
  }

  /** Kills the runner itself, not what it has forked. */
  async killRunner(session: string, owner: string): Promise<void> {
    await this.#killOldest(session, owner, RUNNER);
  }

  /** Every pod that servers over the state directory have made and that is there, in sentences. */
  async leftovers(): Promise<string[]> {
    const deadline = performance.now() + FINISH_LIMIT_MS;
    let left = await this.#all();
    for (; left.length > 0 && performance.now() < deadline; left = await this.#all()) await sleep(LOOK_EVERY_MS);
    return left.map(({ metadata, status }) => `A pod is left: ${metadata.name}, ${status?.phase}.`);
  }

  async #all(): Promise<Pod[]> {
    const id = readFileSync(join(this.#stateDir, 'id'), 'utf8');
    const { text } = await this.#api.call('GET', PODS);
    const { items }: { items: Pod[] } = JSON.parse(text);
    return items.filter(({ metadata }) => metadata.annotations?.[LABELS.instance]?.endsWith(`@${id}`));
  }

  async #of(session: string, owner: string): Promise<Pod | undefined> {
    const name = containerOf(this.#stateDir, session, owner);
    if (!name) return undefined;
    const { status, text } = await this.#api.call('GET', `${PODS}/${name}`);
    return status === 200 ? JSON.parse(text) : undefined;
  }

  /** Nodes are processes of this machine, and so is what runs in pods. */
  async #killOldest(session: string, owner: string, command: RegExp): Promise<void> {
    const pod = await this.#of(session, owner);
    const group = `/pod${pod?.metadata.uid}/`;
    if (!pod) return;
    const found = readdirSync('/proc').filter(
      (pid) => /^\d+$/.test(pid) && isIn(pid, group) && command.test(read(pid, 'cmdline')),
    );
    const [oldest] = found.map(Number).toSorted((one, other) => one - other);
    if (oldest !== undefined) process.kill(oldest, 'SIGKILL');
  }
}

function isIn(pid: string, group: string): boolean {
  return read(pid, 'cgroup').includes(group);
}

/** Empty for a process that has ended. */
function read(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
