import type { Log } from '../../../log.ts';
import type { KubernetesClient } from '../api/client.ts';
import { API_VERSION, KIND } from './names.ts';
import type { RecordObject } from './record.ts';
import { tiePod } from './sandboxes.ts';

/** A tie that is there, or that is being made. */
interface Tie {
  readonly ref: string;
  /** Whether the sandbox is that of the record. */
  readonly tied: Promise<boolean>;
}

/**
 * Ties of sandboxes to the records of their sessions. A tie lasts as long as its pod: it tells for good that the sandbox was
 * a session's. It is made without waiting for it, for the record tells so as well; before a record no longer names its
 * sandbox, it is waited for.
 */
export class Ties {
  readonly #client: KubernetesClient;
  readonly #log: Log;
  /** By the names of the records. */
  readonly #known = new Map<string, Tie>();

  constructor(client: KubernetesClient, log: Log) {
    this.#client = client;
    this.#log = log;
  }

  /** Begins to tie a sandbox to the record that is the first to name it. @param label of the own run */
  begin(record: RecordObject, ref: string, label: string): void {
    const { name } = record.metadata;
    this.#tie(record, ref, label).catch((error: unknown) => {
      this.#log.warn('a sandbox is not tied to the record of its session yet', { record: name, error });
    });
  }

  /**
   * Resolves once a sandbox is tied to a record, and to whether it could be: it may be gone, or another's.
   * @throws GloveboxError `engine_unavailable`
   */
  async require(record: RecordObject, ref: string): Promise<boolean> {
    const { name } = record.metadata;
    const known = this.#known.get(name);
    if (known?.ref === ref) {
      const tied = await known.tied.catch(() => undefined);
      if (tied !== undefined) return tied;
    }
    return await this.#tie(record, ref, undefined);
  }

  /** Forgets a record that is gone, or held by another. */
  forget(name: string): void {
    this.#known.delete(name);
  }

  async #tie({ metadata: { name, uid } }: RecordObject, ref: string, label: string | undefined): Promise<boolean> {
    const owner = { apiVersion: API_VERSION, kind: KIND, name, uid };
    const tie = { ref, tied: tiePod(this.#client, ref, { owner, label }) };
    this.#known.set(name, tie);
    return await tie.tied;
  }
}
