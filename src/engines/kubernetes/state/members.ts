import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { Log } from '../../../log.ts';
import type { ControlPlane } from '../../../state/state.ts';
import { statusOf } from '../api/answer.ts';
import type { KubernetesClient } from '../api/client.ts';
import { Watch } from '../api/watch.ts';
import { leasePath, STATE_LABELS, selectorOf } from './names.ts';

/** Times its length after which a lease that nobody renews is removed. */
const SWEEP_AFTER = 10;
/** Longest lease that is believed, in seconds. */
const LONGEST_S = 3600;
const GONE = 404;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 5000;

const leaseSchema = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.object({ leaseDurationSeconds: z.number().optional().catch(undefined) }).catch({}),
});
type Lease = z.infer<typeof leaseSchema>;

const introductionSchema = z.object({
  address: z
    .string()
    .max(300)
    .regex(/^.+:\d{1,5}$/),
  publicKey: z.string().regex(/^[A-Za-z0-9_-]{40,200}$/),
  version: z.string().max(100),
});

/** What is known of the lease of another run. */
interface Seen {
  readonly uid: string;
  readonly resourceVersion: string;
  /** When it was seen to change, by the own monotonic clock: times of two machines are never compared. */
  readonly changedAt: number;
  readonly lengthMs: number;
  /** Undefined if it says nothing that can be read. It may still be alive. */
  readonly member: ControlPlane | undefined;
}

export interface MembersOptions {
  readonly client: KubernetesClient;
  readonly group: string;
  readonly leaseS: number;
  readonly log: Log;
  /** Called when others come or go, and with the name of each lease that was removed. */
  readonly onChange: () => void;
  readonly onRemoved: (name: string) => void;
}

/**
 * The other control planes of a group, by their leases. Each is alive as long as its lease is seen to change, and dead at
 * once if the lease is removed.
 */
export class Members implements Disposable {
  readonly #options: MembersOptions;
  readonly #seen = new Map<string, Seen>();
  readonly #told = new Set<string>();
  #watch: Watch<Lease> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #live: readonly ControlPlane[] = [];

  private constructor(options: MembersOptions) {
    this.#options = options;
  }

  /** @throws GloveboxError `engine_unavailable` */
  static async watch(options: MembersOptions): Promise<Members> {
    const { client, group, log } = options;
    const members = new Members(options);
    const path = leasePath(client.namespace);
    const watch = await Watch.start(client, { path, labelSelector: selectorOf(group), schema: leaseSchema, log });
    members.#watch = watch;
    for (const lease of watch.values()) members.#note(lease);
    members.#look();
    watch.onChange((name, now) => {
      if (now) members.#note(now);
      else members.#forget(name);
      members.#look();
    });
    return members;
  }

  /** Those whose leases run, this one among them. */
  get live(): readonly ControlPlane[] {
    return this.#live;
  }

  /** A live control plane by its name. */
  find(name: string): ControlPlane | undefined {
    return this.#live.find((member) => member.name === name);
  }

  /** Whether a run is over. Asks the cluster where it seems so: the watch may be behind, and the run alive. */
  async isDead(name: string): Promise<boolean> {
    const before = this.#seen.get(name);
    if (before && isRunning(before)) return false;
    const { client } = this.#options;
    try {
      const lease = await client.request('GET', leasePath(client.namespace, name), {
        schema: leaseSchema,
        timeoutMs: ANSWER_MS,
      });
      const seen = this.#note(lease);
      this.#look();
      return !isRunning(seen);
    } catch (error) {
      if (statusOf(error) !== GONE) throw error;
      this.#forget(name);
      this.#look();
      return true;
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#watch?.[Symbol.dispose]();
  }

  #note(lease: Lease): Seen {
    const { name, uid, resourceVersion } = lease.metadata;
    const before = this.#seen.get(name);
    if (before?.uid === uid && before.resourceVersion === resourceVersion) return before;
    const { leaseDurationSeconds: length } = lease.spec;
    const isBelieved = length !== undefined && length > 0 && length <= LONGEST_S;
    const seen = {
      ...{ uid, resourceVersion },
      changedAt: performance.now(),
      lengthMs: (isBelieved ? length : this.#options.leaseS) * 1000,
      member: same(before?.member, this.#read(lease)),
    };
    this.#seen.set(name, seen);
    return seen;
  }

  #read({ metadata: { name, annotations } }: Lease): ControlPlane | undefined {
    const parsed = introductionSchema.safeParse({
      address: annotations[STATE_LABELS.address],
      publicKey: annotations[STATE_LABELS.publicKey],
      version: annotations[STATE_LABELS.version],
    });
    if (parsed.success) return { name, ...parsed.data };
    if (!this.#told.has(name)) {
      const path = parsed.error.issues[0]?.path.join('.');
      this.#options.log.error('the lease of a server does not say how to reach it', { lease: name, damaged: path });
    }
    this.#told.add(name);
    return undefined;
  }

  #forget(name: string): void {
    this.#told.delete(name);
    if (this.#seen.delete(name)) this.#options.onRemoved(name);
  }

  /** Tells who is alive now, and looks again when the next lease ends. */
  #look(): void {
    clearTimeout(this.#timer);
    const all = [...this.#seen];
    const live = all.flatMap(([, seen]) => (seen.member && isRunning(seen) ? [seen.member] : []));
    const nextMs = Math.min(...all.map(([name, seen]) => this.#nextLook(name, seen)));
    if (nextMs < Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(() => this.#look(), Math.max(nextMs, 1)).unref();
    }
    const same = live.length === this.#live.length && live.every((member) => this.#live.includes(member));
    this.#live = live;
    if (!same) this.#options.onChange();
  }

  /** Milliseconds until a lease ends, or is to be swept. Sweeps one that is. */
  #nextLook(name: string, seen: Seen): number {
    const untilEnd = seen.changedAt + seen.lengthMs - performance.now();
    if (untilEnd > 0) return untilEnd;
    const untilSweep = untilEnd + seen.lengthMs * SWEEP_AFTER;
    if (untilSweep > 0) return untilSweep;
    void this.#sweep(name, seen);
    return seen.lengthMs * SWEEP_AFTER;
  }

  /** Removes the lease of a dead run, unless it has changed. */
  async #sweep(name: string, { uid, resourceVersion }: Seen): Promise<void> {
    const { client, log } = this.#options;
    const body = { preconditions: { uid, resourceVersion } };
    try {
      const path = leasePath(client.namespace, name);
      await client.request('DELETE', path, { body, schema: z.unknown(), timeoutMs: ANSWER_MS });
      log.info('removed the lease of a server that is gone', { lease: name });
    } catch (error) {
      log.debug('a lease could not be removed', { lease: name, error });
    }
  }
}

/** The same object as before where it says the same, so that a renewal is no change. */
function same(before: ControlPlane | undefined, now: ControlPlane | undefined): ControlPlane | undefined {
  return isDeepStrictEqual(before, now) ? before : now;
}

function isRunning({ changedAt, lengthMs }: Seen): boolean {
  return performance.now() - changedAt < lengthMs;
}
