import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Log } from '../../../log.ts';
import type { ControlPlane, Introduction } from '../../../state/state.ts';
import { statusOf } from '../api/answer.ts';
import { KubernetesClient } from '../api/client.ts';
import { labelsOf, leasePath, newRunName, STATE_LABELS } from './names.ts';
import { now, Validity } from './validity.ts';

/** By how much a lease ends sooner for its holder than for others, in milliseconds: clocks do not go equally fast. */
const MARGIN_MS = 1000;
/** Renewals in the length of a lease. */
const RENEWALS = 3;
/** Wait after a renewal that failed, in milliseconds. */
const AGAIN_MS = 500;
const CONFLICT = 409;
const GONE = 404;

const writtenSchema = z.object({ metadata: z.object({ uid: z.string(), resourceVersion: z.string() }) });
const anything = z.unknown();

export interface OwnLeaseOptions {
  readonly client: KubernetesClient;
  readonly group: string;
  readonly introduction: Introduction;
  readonly leaseS: number;
  readonly log: Log;
}

/** The lease of this run. It is renewed until it is over, by its own clock, or was taken away. It never begins again. */
export class OwnLease {
  readonly self: ControlPlane;
  /** Resolves once it is over. */
  readonly over: Promise<void>;
  readonly #options: OwnLeaseOptions;
  /** A line of its own: a renewal waits for nothing else that is asked of the API server. */
  readonly #client: KubernetesClient;
  readonly #validity: Validity;
  readonly #acquiredAt = new Date();
  readonly #stopping = new AbortController();
  readonly #end: () => void;
  #written: z.infer<typeof writtenSchema>['metadata'] | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: OwnLeaseOptions, validity: Validity) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
    this.#options = options;
    this.#client = new KubernetesClient(options.client.access);
    this.#validity = validity;
    this.self = { name: newRunName(options.group), ...options.introduction };
  }

  /** Makes a lease, and renews it from then on. @throws GloveboxError `engine_unavailable` */
  static async take(options: OwnLeaseOptions): Promise<OwnLease> {
    const since = now();
    const lease = new OwnLease(options, new Validity(options.leaseS * 1000 - MARGIN_MS, since));
    // Without an answer it may be there: it is never used, and swept as that of a dead run.
    try {
      lease.#written = await lease.#write('POST');
    } catch (error) {
      lease.#client[Symbol.dispose]();
      throw error;
    }
    lease.#watchClock();
    void lease.#renewAll();
    return lease;
  }

  get isValid(): boolean {
    if (!this.#validity.isOver) return true;
    this.#finish();
    return false;
  }

  /** Ends it at once, because others see that it is gone. */
  revoke(): void {
    this.#validity.end();
    this.#finish();
  }

  /** Ends it, and lets others know. */
  async release(): Promise<void> {
    this.revoke();
    const preconditions = this.#written && { uid: this.#written.uid };
    const timeoutMs = this.#intervalMs;
    try {
      await this.#client.request('DELETE', this.#path, { body: { preconditions }, schema: anything, timeoutMs });
    } catch (error) {
      if (statusOf(error) !== GONE) throw error;
    } finally {
      this.#client[Symbol.dispose]();
    }
  }

  get #path(): string {
    return leasePath(this.#client.namespace, this.self.name);
  }

  get #intervalMs(): number {
    return Math.round((this.#options.leaseS * 1000) / RENEWALS);
  }

  #finish(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
    this.#end();
  }

  /** Notices the end also while nobody asks. */
  #watchClock(): void {
    if (!this.isValid) return;
    this.#timer = setTimeout(() => this.#watchClock(), Math.max(1, Math.min(1000, this.#validity.leftMs)));
    this.#timer.unref();
  }

  async #renewAll(): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#options;
    let waitMs = this.#intervalMs;
    let isTold = false;
    while (this.isValid) {
      await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {});
      if (!this.isValid) return;
      const since = now();
      try {
        await this.#renew();
        this.#validity.extend(since);
        waitMs = this.#intervalMs;
        isTold = false;
      } catch (error) {
        if (!this.isValid) return;
        if (statusOf(error) === GONE) {
          log.error('the lease of this server was removed: it joins anew', { lease: this.self.name });
          this.revoke();
          return;
        }
        if (!isTold) log.warn('the lease of this server could not be renewed', { lease: this.self.name, error });
        isTold = true;
        waitMs = AGAIN_MS;
      }
    }
  }

  async #renew(): Promise<void> {
    try {
      this.#written = await this.#write('PUT');
    } catch (error) {
      if (statusOf(error) !== CONFLICT) throw error;
      // An answer was lost, or an operator has changed it.
      const { metadata } = await this.#client.request('GET', this.#path, { schema: writtenSchema, ...this.#limits });
      this.#written = metadata;
      this.#written = await this.#write('PUT');
    }
  }

  async #write(method: 'POST' | 'PUT'): Promise<z.infer<typeof writtenSchema>['metadata']> {
    const { group, leaseS } = this.#options;
    const { name, address, publicKey, version } = this.self;
    const body = {
      ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' },
      metadata: {
        name,
        labels: labelsOf(group),
        annotations: {
          [STATE_LABELS.group]: group,
          [STATE_LABELS.address]: address,
          [STATE_LABELS.publicKey]: publicKey,
          [STATE_LABELS.version]: version,
        },
        ...(this.#written ? { resourceVersion: this.#written.resourceVersion, uid: this.#written.uid } : {}),
      },
      spec: {
        holderIdentity: name,
        leaseDurationSeconds: leaseS,
        acquireTime: microTime(this.#acquiredAt),
        renewTime: microTime(new Date()),
      },
    };
    const path = method === 'PUT' ? this.#path : leasePath(this.#client.namespace);
    return (await this.#client.request(method, path, { body, schema: writtenSchema, ...this.#limits })).metadata;
  }

  get #limits() {
    return { timeoutMs: this.#intervalMs, signal: this.#stopping.signal };
  }
}

/** Kubernetes wants six digits. */
function microTime(date: Date): string {
  return date.toISOString().replace('Z', '000Z');
}
