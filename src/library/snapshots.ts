import type { SnapshotSummary } from '../sessions/snapshots.ts';
import { type Access, ownerOf } from './access.ts';
import { checkOptions, checkText, OWNER } from './check-options.ts';

/** Unchanging copy of a session's files and packages. */
export interface Snapshot {
  readonly id: string;
  /** Id of the session that it was made from. */
  readonly sessionId: string;
  /** Size of all its files in bytes. */
  readonly size: number;
  readonly createdAt: Date;
}

/** Snapshots of all owners. `session.snapshot()` creates one; `sessions.open({ snapshot })` opens a session from one. */
export class Snapshots {
  readonly #access: Access;

  /** @internal */
  constructor(access: Access) {
    this.#access = access;
  }

  /** Lists the snapshots of an owner, the oldest first. */
  async list(options: { readonly owner?: string | undefined } = {}): Promise<Snapshot[]> {
    checkOptions('snapshots.list', options, OWNER);
    return (await this.#access.glovebox.snapshots.list(ownerOf(options))).map(toSnapshot);
  }

  /** Removes a snapshot. Sessions created from it stay. @throws GloveboxError `not_found` */
  async delete(id: string, options: { readonly owner?: string | undefined } = {}): Promise<void> {
    checkText('snapshots.delete', 'The id', id);
    checkOptions('snapshots.delete', options, OWNER);
    await this.#access.glovebox.snapshots.delete(ownerOf(options), id);
  }
}

/** @internal */
export function toSnapshot({ snapshot_id: id, session_id: sessionId, size, created_at }: SnapshotSummary): Snapshot {
  return { id, sessionId, size, createdAt: new Date(created_at) };
}
