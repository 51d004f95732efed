import { join } from 'node:path';
import { BegunCalls } from './begun-calls.ts';
import type { Instance } from './instance.ts';
import { type Manifest, Manifests } from './manifests.ts';
import {
  type BegunCall,
  type CallBefore,
  ClaimLost,
  type ControlPlane,
  HoldLost,
  type OnSessionChange,
  type SavedSession,
  SessionExists,
  type SharedSession,
  type SharedState,
} from './state.ts';

const NOTHING: Disposable = { [Symbol.dispose]() {} };

/**
 * State of one control plane alone, in a directory: the lock of its instance keeps others out, so it never loses a session,
 * and no other comes or goes. On the disk there is a manifest for each session with a sandbox; all else of a session is in
 * memory, or in its archive. Calls with an idempotency key have a file each. Nothing counts generations, which stay 0. What is
 * written is on the disk when the call returns, before its promise resolves.
 */
export class DirectoryState implements SharedState {
  readonly self: ControlPlane;
  readonly label: string;
  readonly others: readonly ControlPlane[] = [];
  readonly isValid = true;
  readonly #instance: Instance;
  readonly #manifests: Manifests;
  readonly #calls: BegunCalls;
  readonly #sessions = new Map<string, SharedSession>();

  /** Reads what the last run of the instance left. */
  constructor(instance: Instance, version: string) {
    this.#instance = instance;
    this.#manifests = new Manifests(instance.directory);
    this.#calls = new BegunCalls(join(instance.directory, 'calls'));
    this.self = { name: instance.name, address: '', publicKey: '', version };
    this.label = instance.label;
    // A crash may have left two of a session. The later one names the sandbox in which it went on.
    const manifests = this.#manifests.readAll().sort((a, b) => wokenAt(a) - wokenAt(b));
    for (const { session_id: id, owner, created_at, ...saved } of manifests) {
      const former = this.find(owner, id);
      if (former) this.#forgetSandbox(former.saved);
      this.#set({ owner, id, createdAt: new Date(created_at), generation: 0, holder: undefined, saved });
    }
  }

  onExpired(): Disposable {
    return NOTHING;
  }

  onMembers(): Disposable {
    return NOTHING;
  }

  onChange(_listener: OnSessionChange): Disposable {
    return NOTHING;
  }

  find(owner: string, id: string): SharedSession | undefined {
    return this.#sessions.get(keyOf(owner, id));
  }

  async lookUp(owner: string, id: string): Promise<SharedSession | undefined> {
    return this.find(owner, id);
  }

  of(owner: string): readonly SharedSession[] {
    return this.all().filter((session) => session.owner === owner);
  }

  all(): readonly SharedSession[] {
    return [...this.#sessions.values()];
  }

  holderOf({ holder }: SharedSession): ControlPlane | undefined {
    return holder === this.self.name ? this.self : undefined;
  }

  async create(owner: string, id: string, saved?: SavedSession, createdAt = new Date()): Promise<SharedSession> {
    const present = this.find(owner, id);
    if (present) throw new SessionExists(present);
    const session = { owner, id, createdAt, generation: 0, holder: this.self.name, saved };
    if (saved) this.#write(session, saved);
    return this.#set(session);
  }

  async claim(session: SharedSession): Promise<SharedSession> {
    const present = this.find(session.owner, session.id);
    if (!present || present.holder !== undefined) throw new ClaimLost(session.id, present);
    return this.#set({ ...present, holder: this.self.name });
  }

  async save(session: SharedSession, saved: SavedSession): Promise<SharedSession> {
    this.#requireHeld(session);
    this.#write(session, saved);
    if (session.saved?.key !== saved.key) this.#forgetSandbox(session.saved);
    return this.#set({ ...session, saved });
  }

  async release(session: SharedSession, saved: SavedSession): Promise<void> {
    this.#set({ ...(await this.save(session, saved)), holder: undefined });
  }

  async remove(session: SharedSession): Promise<void> {
    this.#requireHeld(session);
    this.#sessions.delete(keyOf(session.owner, session.id));
    this.#forgetSandbox(session.saved);
  }

  /** Forgets a sandbox that was removed although its session may not have been. */
  forget(key: string): void {
    this.#manifests.remove(key);
  }

  nameOf(label: string): string | undefined {
    return this.#instance.nameOf(label);
  }

  async takeSandbox(): Promise<boolean> {
    return false;
  }

  async adoptSandbox(): Promise<undefined> {
    return undefined;
  }

  async keepSandbox(): Promise<boolean> {
    return true;
  }

  async beginCall(call: BegunCall): Promise<CallBefore | undefined> {
    return this.#calls.begin(call);
  }

  async forgetCall(owner: string, key: string): Promise<void> {
    this.#calls.forget(owner, key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#instance[Symbol.dispose]();
  }

  #write({ owner, id, createdAt }: SharedSession, saved: SavedSession): void {
    const { ref: _, background: __, archive: ___, at_rest: ____, key, ...rest } = saved;
    if (key === undefined) return;
    this.#manifests.write({ ...rest, key, session_id: id, owner, created_at: createdAt.toISOString() });
  }

  #forgetSandbox(saved: SavedSession | undefined): void {
    if (saved?.key !== undefined) this.#manifests.remove(saved.key);
  }

  /** @throws HoldLost for one that was removed */
  #requireHeld(session: SharedSession): void {
    if (this.find(session.owner, session.id) !== session) throw new HoldLost(session.id);
  }

  #set(session: SharedSession): SharedSession {
    this.#sessions.set(keyOf(session.owner, session.id), session);
    return session;
  }
}

function wokenAt({ woken_at: woken, created_at: created }: Manifest): number {
  return Date.parse(woken ?? created);
}

/** Returns a unique key for owner and id: no name contains NUL. */
function keyOf(owner: string, id: string): string {
  return `${owner}\0${id}`;
}
