import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import { within } from '../../lib/deadline.ts';
import type { PieceStream } from '../../lib/reused-memory.ts';
import type { Log } from '../../log.ts';
import {
  type ConnectOptions,
  type Engine,
  type EngineInfo,
  type SandboxInfo,
  type SandboxRef,
  type SandboxSpec,
  type StartedSandbox,
  shortName,
} from '../../sandbox/engine.ts';
import { LaterRemovals } from '../later-removals.ts';
import { logRunnerStderr } from '../runner-stderr.ts';
import { isFree, pickUser } from '../session-users.ts';
import { refusalOf } from './api/answer.ts';
import type { KubernetesClient } from './api/client.ts';
import { type ExecTarget, openExec, runExec } from './api/exec.ts';
import { type PodState, podPath, podSchema } from './api/pod.ts';
import { assertAsAsked } from './compare-pod.ts';
import { awaitNode, endProcessesOf, type PodPrograms, whyNotReached, withoutQuery } from './end-processes.ts';
import {
  adoptionsOf,
  CONTAINER_NAME,
  COUNT_COMMAND,
  END_COMMAND,
  generationIn,
  isNameOf,
  LABELS,
  MISSING_COMMAND,
  podName,
  podOfRef,
  podOptions,
  refOf,
  runCommand,
} from './pod-spec.ts';
import { type PodId, Pods } from './pods.ts';
import { type Doomed, removePod } from './remove-pod.ts';
import { runnerStream } from './runner-stream.ts';
import type { KubernetesSettings } from './settings.ts';
import { standingOf } from './standing.ts';
import { type StartOptions, waitUntilRunning } from './start-pod.ts';

/** Time in which a short program ends its connection after its own limit, in milliseconds. */
const CLOSE_MS = 500;
/** Pods of sandboxes. */
const SELECTOR = LABELS.key;

const listSchema = z.object({ items: z.array(podSchema) });
/** A pod that was made, also with what nothing else reads of it. */
const madeSchema = z.unknown().transform((whole) => ({ whole, pod: podSchema.parse(whole) }));
const versionSchema = z.object({ gitVersion: z.string() });

/** Sandboxes as pods of one namespace. */
export class KubernetesEngine implements Engine, Disposable {
  readonly #client: KubernetesClient;
  readonly #settings: KubernetesSettings;
  readonly #log: Log;
  readonly #pods: Pods;
  readonly #later = new LaterRemovals();

  readonly #starting: StartOptions;

  /** @param starting its signal ends starts, which can take minutes: nothing of them may be left when this process ends */
  constructor(client: KubernetesClient, settings: KubernetesSettings, log: Log, starting: StartOptions = {}) {
    this.#client = client;
    this.#settings = settings;
    this.#log = log;
    this.#starting = starting;
    this.#pods = new Pods(client, { labelSelector: SELECTOR, nodeLostMs: settings.kubernetesNodeLostS * 1000, log });
  }

  /** Begins to watch. @throws GloveboxError `engine_unavailable` if the cluster does not answer, or does not allow it */
  async watch(): Promise<void> {
    await this.#pods.watch();
  }

  async start(spec: SandboxSpec): Promise<StartedSandbox> {
    this.#starting.signal?.throwIfAborted();
    const watch = await this.#pods.watch();
    // The guess may be out of date; `confirmed` is not.
    const uid = await pickUser(async () => watch.values().map(userOf));
    const name = podName(spec.key);
    let podUid: string | undefined;
    try {
      const body = podOptions({ ...spec, uid }, this.#settings);
      const path = podPath(this.#client.namespace);
      const { pod, whole } = await this.#client.request('POST', path, { body, schema: madeSchema });
      podUid = pod.metadata.uid;
      assertAsAsked(body, whole, this.#settings.allowMissing);
      await waitUntilRunning(watch, { name, podUid }, this.#starting);
      const ref = refOf(spec.key, podUid, uid);
      // If two control planes picked the same user at once, at least the later one sees that now.
      return { ref, confirmed: isFree(this.#listUsers, uid, spec.key) };
    } catch (error) {
      if (podUid !== undefined || !isRefused(error)) await this.#remove({ name, podUid }).catch(() => {});
      // The API server may make it after that, if it has not answered.
      if (podUid === undefined && !isRefused(error)) this.#later.add(name, () => this.#remove({ name, podUid }));
      throw error;
    }
  }

  async connect(ref: SandboxRef, options?: ConnectOptions): Promise<PieceStream> {
    const pod = podOfRef(ref);
    await this.#pods.watch();
    const node = await this.#pods.requireRunning(pod);
    const onStderr = logRunnerStderr(this.#log, ref);
    const generation = generationIn(ref, options?.generation);
    const connection = await openExec(this.#client, {
      ...this.#target(pod.name, runCommand({ generation })),
      onStderr,
    });
    void connection.ended.then((end) => {
      if (end.kind === 'refused')
        this.#log.warn('a runner was not started', { sandbox: shortName(ref), why: withoutQuery(end.message) });
    });
    const stream = runnerStream(connection, pod, this.#pods, this.#log);
    return Object.assign(stream, { whyNotReached: async () => whyNotReached(node, await connection.ended) });
  }

  async endProcesses(ref: SandboxRef): Promise<boolean> {
    const pod = podOfRef(ref);
    await this.#pods.requireRunning(pod);
    return await endProcessesOf(pod, this.#pods, this.#programsIn(pod));
  }

  async awaitMachine(ref: SandboxRef): Promise<number> {
    const pod = podOfRef(ref);
    await this.#pods.requireRunning(pod);
    return await awaitNode(pod, this.#pods, this.#programsIn(pod));
  }

  async remove(ref: SandboxRef): Promise<void> {
    await this.#remove(podOfRef(ref));
  }

  async list(): Promise<SandboxInfo[]> {
    // Whoever copies a pod copies its labels. It would be removed by the name of the one that it is a copy of.
    const own = (await this.#listPods()).filter(({ metadata: { name, labels } }) => isNameOf(name, labels[LABELS.key]));
    return own.map((pod) => {
      const { uid, labels, annotations } = pod.metadata;
      const key = labels[LABELS.key] ?? '';
      return {
        ref: refOf(key, uid, labels[LABELS.uid] ?? '', adoptionsOf(annotations)),
        key,
        instance: annotations[LABELS.instance] ?? '',
        running: standingOf(pod, uid).kind === 'running',
        ...((pod.metadata.ownerReferences ?? []).length > 0 ? { isTied: true } : {}),
        ...(annotations[LABELS.pool] === undefined ? {} : { isPooled: true }),
      };
    });
  }

  async info(): Promise<EngineInfo> {
    const { gitVersion } = await this.#client.request('GET', '/version', { schema: versionSchema });
    return { name: 'Kubernetes', version: gitVersion.replace(/^v/, '') };
  }

  /** Lets go of the API server. */
  [Symbol.dispose](): void {
    this.#pods[Symbol.dispose]();
    this.#client[Symbol.dispose]();
  }

  #programsIn({ name }: PodId): PodPrograms {
    return {
      run: async (command, timeoutMs) =>
        await within(timeoutMs, runExec(this.#client, this.#target(name, command), timeoutMs + CLOSE_MS)),
      end: END_COMMAND,
      count: COUNT_COMMAND,
      missing: MISSING_COMMAND,
    };
  }

  #target(pod: string, command: readonly string[]): ExecTarget {
    return { namespace: this.#client.namespace, pod, container: CONTAINER_NAME, command };
  }

  readonly #listUsers = async (uid?: number) =>
    (await this.#listPods(uid === undefined ? SELECTOR : `${SELECTOR},${LABELS.uid}=${uid}`)).map(userOf);

  /** Lists pods as they are, not as a cache of the API server has them. */
  async #listPods(labelSelector: string = SELECTOR): Promise<PodState[]> {
    const path = podPath(this.#client.namespace);
    return (await this.#client.request('GET', path, { query: { labelSelector }, schema: listSchema })).items;
  }

  async #remove(doomed: Doomed): Promise<void> {
    try {
      await removePod(this.#client, this.#pods, doomed, this.#log);
    } catch (error) {
      this.#later.add(doomed.name, () => this.#remove(doomed));
      throw error;
    }
  }
}

function userOf({ metadata: { labels } }: PodState): { key: string; uid: number } {
  return { key: labels[LABELS.key] ?? '', uid: Number(labels[LABELS.uid]) };
}

/** Whether the API server has said that it does not do what was asked, so that nothing was made. */
function isRefused(error: unknown): boolean {
  const status = refusalOf(error)?.statusCode ?? 500;
  return status < 500 || (error instanceof GloveboxError && error.code === 'invalid_input');
}
