import { GloveboxError } from '../../errors.ts';
import type { Outage } from '../../lib/reused-memory.ts';
import type { Log } from '../../log.ts';
import { SandboxUnreachable } from '../../sandbox/engine.ts';
import type { KubernetesClient } from './api/client.ts';
import { type PodState, podPath, podSchema } from './api/pod.ts';
import { Watch } from './api/watch.ts';
import { type Standing, standingOf } from './standing.ts';

/** Pods that are gone whose end is remembered, to tell sessions that ask later. */
const MOST_ENDS = 1000;
/** Interval of the looks whether a node may count as lost, while the API server says nothing, in milliseconds. */
const LOOK_AGAIN_MS = 5000;

export interface PodsOptions {
  /** Selects the pods of sandboxes. */
  readonly labelSelector: string;
  /** How long a node may be not ready until its sandboxes count as lost, in milliseconds. */
  readonly nodeLostMs: number;
  readonly log: Log;
}

/** A pod, by its name and the uid that no other pod ever has. */
export interface PodId {
  readonly name: string;
  readonly podUid: string;
}

/** Pod whose node is not ready. */
interface NotReady {
  readonly podUid: string;
  /** In milliseconds of the performance clock. */
  readonly since: number;
  timer: NodeJS.Timeout;
  isOver: boolean;
}

/** Knows by one watch how the pods of all sandboxes are, and which of them are lost. */
export class Pods implements Disposable {
  readonly #client: KubernetesClient;
  readonly #options: PodsOptions;
  #starting: Promise<Watch<PodState>> | undefined;
  #watch: Watch<PodState> | undefined;
  #isClosed = false;
  readonly #outages = new Map<string, NotReady>();
  /** Why pods ended that are gone, by their uids. */
  readonly #ends = new Map<string, string>();
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor(client: KubernetesClient, options: PodsOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Returns the watch, and begins it if need be. @throws GloveboxError `engine_unavailable` */
  async watch(): Promise<Watch<PodState>> {
    this.#starting ??= this.#begin().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return await this.#starting;
  }

  /** How a pod is, as far as the watch knows. Undefined if it cannot tell at present. */
  known({ name, podUid }: PodId): Standing | undefined {
    return this.#watch?.isCurrent ? this.#judge(name, podUid, this.#watch.get(name)) : undefined;
  }

  /**
   * Asks how a pod is, and returns the name of its node.
   * @throws GloveboxError `sandbox_lost`, SandboxUnreachable, or `engine_unavailable` while the API server does not answer
   */
  async requireRunning({ name, podUid }: PodId): Promise<string> {
    const path = podPath(this.#client.namespace, name);
    const pod = await this.#client.request('GET', path, { schema: podSchema }).catch((error: unknown) => {
      if (error instanceof GloveboxError && error.code === 'sandbox_lost') return undefined;
      throw error;
    });
    const standing = this.#judge(name, podUid, pod);
    if (standing.kind === 'gone') throw lost(standing.why);
    if (standing.kind === 'starting') throw unreachable('Its pod has not started.');
    if (standing.isCutOff) throw this.#notReady(standing.node);
    return standing.node;
  }

  /** Waits until the cluster counts a pod as not ready, or as gone. Returns false if it does not within the time. */
  async becomesUnready({ name, podUid }: PodId, timeoutMs: number): Promise<boolean> {
    const watch = await this.watch();
    const isUnready = (pod: PodState | undefined) => {
      const standing = standingOf(pod, podUid);
      return standing.kind === 'running' && !standing.isCutOff ? undefined : true;
    };
    return await watch.waitFor(name, isUnready, { timeoutMs }).catch(() => false);
  }

  /** Calls back once a pod is lost. */
  onLost({ podUid }: PodId, listener: () => void): Disposable {
    const listeners = this.#listeners.get(podUid) ?? new Set();
    this.#listeners.set(podUid, listeners.add(listener));
    return {
      [Symbol.dispose]: () => {
        listeners.delete(listener);
        if (listeners.size === 0) this.#listeners.delete(podUid);
      },
    };
  }

  /** Why a pod cannot be reached, as far as the watch knows. */
  outageOf(pod: PodId): Outage | undefined {
    const standing = this.known(pod);
    const since = this.#outages.get(pod.name)?.since;
    if (standing?.kind !== 'running' || !standing.isCutOff || since === undefined) return undefined;
    return { error: this.#notReady(standing.node), since };
  }

  /** The error for a sandbox whose node does not answer the cluster. */
  #notReady(node: string): SandboxUnreachable {
    const seconds = this.#options.nodeLostMs / 1000;
    return unreachable(
      `Its node "${node}" is not ready.`,
      `Call again later. If the node does not come back within ${seconds} s, the session continues in a new sandbox, from its last checkpoint.`,
    );
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#watch?.[Symbol.dispose]();
    for (const { timer } of this.#outages.values()) clearTimeout(timer);
  }

  async #begin(): Promise<Watch<PodState>> {
    const { labelSelector, log } = this.#options;
    const path = podPath(this.#client.namespace);
    const watch = await Watch.start(this.#client, { path, labelSelector, schema: podSchema, log });
    if (this.#isClosed) watch[Symbol.dispose]();
    this.#watch = watch;
    watch.onChange((name, now, before) => this.#take(name, now, before));
    for (const pod of watch.values()) this.#take(pod.metadata.name, pod, undefined);
    return watch;
  }

  /** Takes a change of a pod. */
  #take(name: string, now: PodState | undefined, before: PodState | undefined): void {
    // Another pod may have taken the name.
    const podUid = (before ?? now)?.metadata.uid ?? '';
    const standing = standingOf(now, podUid);
    if (standing.kind === 'gone') this.#end(name, podUid, standing.why);
    else if (standing.kind === 'running' && standing.isCutOff) this.#beginOutage(name, podUid, standing.node);
    else this.#endOutage(name);
    if (now && now.metadata.uid !== podUid) this.#take(name, now, undefined);
  }

  #judge(name: string, podUid: string, pod: PodState | undefined): Standing {
    const standing = standingOf(pod, podUid);
    if (standing.kind === 'gone') return { ...standing, why: this.#ends.get(podUid) ?? standing.why };
    const outage = this.#outages.get(name);
    const isLost = standing.kind === 'running' && standing.isCutOff && outage?.podUid === podUid && outage.isOver;
    return isLost ? { kind: 'gone', why: whyLost(standing.node, this.#options.nodeLostMs) } : standing;
  }

  /** By the clock of this process: that of the cluster may be another. */
  #beginOutage(name: string, podUid: string, node: string): void {
    if (this.#outages.has(name)) return;
    const look = () => {
      // What is not known to last still may be over.
      if (this.#watch?.isCurrent) {
        outage.isOver = true;
        this.#tellLost(name, podUid, whyLost(node, this.#options.nodeLostMs));
      } else outage.timer = setTimeout(look, LOOK_AGAIN_MS).unref();
    };
    const timer = setTimeout(look, this.#options.nodeLostMs).unref();
    const outage: NotReady = { podUid, since: performance.now(), timer, isOver: false };
    this.#outages.set(name, outage);
  }

  #endOutage(name: string): void {
    clearTimeout(this.#outages.get(name)?.timer);
    this.#outages.delete(name);
  }

  #end(name: string, podUid: string, why: string): void {
    this.#endOutage(name);
    if (this.#ends.has(podUid)) return;
    this.#ends.set(podUid, why);
    for (const oldest of this.#ends.keys()) {
      if (this.#ends.size <= MOST_ENDS) break;
      this.#ends.delete(oldest);
    }
    this.#tellLost(name, podUid, why);
  }

  #tellLost(name: string, podUid: string, why: string): void {
    const listeners = this.#listeners.get(podUid);
    if (!listeners) return;
    this.#options.log.warn('a sandbox was lost', { pod: name, why });
    for (const listener of [...listeners]) listener();
  }
}

function whyLost(node: string, nodeLostMs: number): string {
  return `its node "${node}" has not been ready for ${nodeLostMs / 1000} s`;
}

function lost(why: string): GloveboxError {
  return new GloveboxError('sandbox_lost', `The sandbox of this session is gone: ${why}.`);
}

/** The error for a sandbox that cannot be reached, while nothing says that it is gone. */
export function unreachable(
  why: string,
  hint = 'Call again. The session continues once it is reached.',
  cause?: unknown,
): SandboxUnreachable {
  return new SandboxUnreachable(`The sandbox of this session cannot be reached at present. ${why}`, { hint, cause });
}
