import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { ConcurrencyLimit } from '../../../lib/concurrency-limit.ts';
import type { Log } from '../../../log.ts';
import { atRandomPauses } from '../../../state/at-random-pauses.ts';
import type { BegunCall, CallBefore } from '../../../state/state.ts';
import { refusalOf, statusOf } from '../api/answer.ts';
import type { KubernetesClient } from '../api/client.ts';
import { groupId, leasePath } from './names.ts';

/** Time for which a call is known, in milliseconds: an hour, and what two clocks may be off. */
const KEPT_MS = 70 * 60 * 1000;
/** Calls that are known. Beyond that, the oldest are forgotten. */
const MOST_CALLS = 10_000;
/** Pause between two looks for what is to be forgotten, in milliseconds. Random, so that control planes take turns. */
const PAUSE_MS = { least: 300_000, most: 600_000 };
/** Writes under way at once. */
const AT_ONCE = 16;
/** Longest wait for an answer, in milliseconds. */
const ANSWER_MS = 5000;
/** Attempts where an answer is lost. */
const MOST_ATTEMPTS = 5;
const CONFLICT = 409;
const GONE = 404;

/** Group of a call, as a label. It is not that of members: theirs are watched. */
const GROUP = 'glovebox.calls';
const FINGERPRINT = 'glovebox.fingerprint';
/** Tells the own write from that of another, where its answer is lost. */
const ATTEMPT = 'glovebox.attempt';

const anything = z.unknown();
const callSchema = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string(),
    creationTimestamp: z.iso.datetime().optional(),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
});
const listSchema = z.object({ items: z.array(callSchema) });

export interface CallsOptions {
  readonly client: KubernetesClient;
  readonly group: string;
  readonly log: Log;
}

/**
 * Calls with an idempotency key that have begun, for all control planes of a group. Each is a lease that nobody renews: of
 * that kind, a control plane may make and remove objects already.
 */
export class Calls implements Disposable {
  readonly #options: CallsOptions;
  readonly #places = new ConcurrencyLimit(AT_ONCE, ANSWER_MS);
  readonly #looks: Disposable;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.#looks = atRandomPauses(PAUSE_MS, () => this.#look());
  }

  [Symbol.dispose](): void {
    this.#looks[Symbol.dispose]();
  }

  /** @param by name of the run that begins it @throws GloveboxError `engine_unavailable` */
  async begin({ owner, key, fingerprint }: BegunCall, by: string): Promise<CallBefore | undefined> {
    const { client, group } = this.#options;
    const name = this.#nameOf(owner, key);
    const attempt = randomBytes(9).toString('base64url');
    const body = {
      ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' },
      metadata: {
        name,
        labels: { 'app.kubernetes.io/managed-by': 'glovebox', [GROUP]: groupId(group) },
        annotations: { [FINGERPRINT]: fingerprint, [ATTEMPT]: attempt },
      },
      spec: { holderIdentity: by },
    };
    for (let at = 1; ; at += 1) {
      try {
        await this.#request('POST', leasePath(client.namespace), body);
        return undefined;
      } catch (error) {
        const status = statusOf(error);
        const mayBeMade = status === CONFLICT || (refusalOf(error)?.statusCode ?? 500) >= 500;
        if (!mayBeMade || at === MOST_ATTEMPTS) throw error;
      }
      const before = await this.#read(name);
      if (before) return before[ATTEMPT] === attempt ? undefined : { fingerprint: before[FINGERPRINT] ?? '' };
    }
  }

  /** @throws GloveboxError `engine_unavailable` */
  async forget(owner: string, key: string): Promise<void> {
    await this.#remove(this.#nameOf(owner, key));
  }

  /** Forgets what began long ago. */
  async sweep(now = Date.now()): Promise<void> {
    const { client, group } = this.#options;
    const query = { labelSelector: `${GROUP}=${groupId(group)}` };
    const { items } = await client.request('GET', leasePath(client.namespace), { query, schema: listSchema });
    const begun = items
      .map(({ metadata: { name, uid, creationTimestamp } }) => ({ name, uid, at: Date.parse(creationTimestamp ?? '') }))
      .sort((a, b) => b.at - a.at);
    for (const [index, { name, uid, at }] of begun.entries())
      if (index >= MOST_CALLS || now - at > KEPT_MS) await this.#remove(name, uid);
  }

  async #read(name: string): Promise<Readonly<Record<string, string>> | undefined> {
    const { client } = this.#options;
    try {
      const limits = { schema: callSchema, timeoutMs: ANSWER_MS };
      return (await client.request('GET', leasePath(client.namespace, name), limits)).metadata.annotations;
    } catch (error) {
      if (statusOf(error) === GONE) return undefined;
      throw error;
    }
  }

  async #remove(name: string, uid?: string): Promise<void> {
    const body = uid === undefined ? {} : { preconditions: { uid } };
    try {
      await this.#request('DELETE', leasePath(this.#options.client.namespace, name), body);
    } catch (error) {
      if (statusOf(error) !== GONE && statusOf(error) !== CONFLICT) throw error;
    }
  }

  async #request(method: 'POST' | 'DELETE', path: string, body: object): Promise<void> {
    const { client } = this.#options;
    await this.#places.run(() => client.request(method, path, { body, schema: anything, timeoutMs: ANSWER_MS }));
  }

  #nameOf(owner: string, key: string): string {
    const hash = createHash('sha256').update(`${this.#options.group}\0${owner}\0${key}`).digest('hex');
    return `glovebox-call-${hash.slice(0, 32)}`;
  }

  async #look(): Promise<void> {
    await this.sweep().catch((error: unknown) => {
      this.#options.log.debug('calls that began long ago could not be forgotten', { error });
    });
  }
}
