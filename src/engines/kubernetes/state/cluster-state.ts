import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../../log.ts';
import type { JoinOptions } from '../../../sandbox/engine.ts';
import {
  type BegunCall,
  type CallBefore,
  type ControlPlane,
  HoldLost,
  type LeftSandbox,
  type OnSessionChange,
  type SavedSession,
  type SharedSession,
  type SharedState,
} from '../../../state/state.ts';
import type { KubernetesClient } from '../api/client.ts';
import { Calls } from './calls.ts';
import { Members } from './members.ts';
import { groupId, recordName } from './names.ts';
import { OwnLease } from './own-lease.ts';
import { Records, sessionOf } from './records.ts';
import { adoptPod, type IsFit, relabel } from './sandboxes.ts';
import { Ties } from './ties.ts';
import { Writer } from './writer.ts';

/** Shortest and longest wait before the next attempt to join anew, in milliseconds. */
const WAIT_MS = { least: 500, most: 5000 };

export interface ClusterOptions extends JoinOptions {
  readonly client: KubernetesClient;
  /** Whether the pod of a sandbox is as those that this control plane makes. */
  readonly isFit: IsFit;
  readonly log: Log;
}

/** What it has while it belongs to the group. */
interface Membership {
  readonly lease: OwnLease;
  readonly members: Members;
}

/** State of a group of control planes in the cluster of their sandboxes: a lease for each, and a record for each session. */
export class ClusterState implements SharedState {
  readonly #options: ClusterOptions;
  readonly #records: Records;
  readonly #writer: Writer;
  readonly #ties: Ties;
  readonly #calls: Calls;
  readonly #onExpired = new Set<() => void>();
  readonly #onMembers = new Set<() => void>();
  readonly #closing = new AbortController();
  #membership!: Membership;
  #others: readonly ControlPlane[] = [];

  private constructor(options: ClusterOptions) {
    const { client, group, log } = options;
    this.#options = options;
    this.#records = new Records({ client, group, log });
    this.#ties = new Ties(client, log);
    this.#calls = new Calls({ client, group, log });
    this.#records.onChange((now, before) => {
      const { owner, id } = now ?? before ?? {};
      const isHeld = now !== undefined && now.holder === this.#membership?.lease.self.name;
      if (owner !== undefined && id !== undefined && !isHeld) this.#ties.forget(this.#nameOf(owner, id));
    });
    this.#writer = new Writer({
      ...{ client, group, records: this.#records },
      self: (id) => {
        if (!this.isValid) throw new HoldLost(id);
        return this.self.name;
      },
      isDead: async (name) => await this.#membership.members.isDead(name),
      mark: async (record, ref) => void (await this.#ties.require(record, ref)),
    });
  }

  /** Joins a group. @throws GloveboxError `engine_unavailable` */
  static async join(options: ClusterOptions): Promise<ClusterState> {
    const state = new ClusterState(options);
    try {
      await state.#join();
    } catch (error) {
      state.#calls[Symbol.dispose]();
      state.#records[Symbol.dispose]();
      throw error;
    }
    return state;
  }

  get self(): ControlPlane {
    return this.#membership.lease.self;
  }

  get label(): string {
    return `${this.self.name}@${groupId(this.#options.group)}`;
  }

  get others(): readonly ControlPlane[] {
    return this.#others;
  }

  get isValid(): boolean {
    return this.#membership.lease.isValid;
  }

  onExpired(listener: () => void): Disposable {
    return listen(this.#onExpired, listener);
  }

  onMembers(listener: () => void): Disposable {
    return listen(this.#onMembers, listener);
  }

  find(owner: string, id: string): SharedSession | undefined {
    const known = this.#records.get(this.#nameOf(owner, id));
    return known && sessionOf(known, id);
  }

  async lookUp(owner: string, id: string): Promise<SharedSession | undefined> {
    const known = await this.#records.read(this.#nameOf(owner, id));
    return known && sessionOf(known, id);
  }

  of(owner: string): readonly SharedSession[] {
    return this.#records.of(owner);
  }

  all(): readonly SharedSession[] {
    return this.#records.all();
  }

  holderOf({ holder }: SharedSession): ControlPlane | undefined {
    if (holder === undefined) return undefined;
    if (holder === this.self.name) return this.isValid ? this.self : undefined;
    return this.#membership.members.find(holder);
  }

  onChange(listener: OnSessionChange): Disposable {
    return this.#records.onChange(listener);
  }

  async create(owner: string, id: string, saved?: SavedSession, createdAt = new Date()): Promise<SharedSession> {
    const session = await this.#writer.create({ owner, id, saved, createdAt });
    this.#tie(session, undefined);
    return session;
  }

  async claim(session: SharedSession): Promise<SharedSession> {
    return await this.#writer.claim(session);
  }

  async save(session: SharedSession, saved: SavedSession): Promise<SharedSession> {
    const before = this.#records.get(this.#nameOf(session.owner, session.id))?.session?.saved?.ref;
    const now = await this.#writer.save(session, saved);
    this.#tie(now, before);
    return now;
  }

  async release(session: SharedSession, saved: SavedSession): Promise<void> {
    await this.#writer.release(session, saved);
  }

  async remove(session: SharedSession): Promise<void> {
    await this.#writer.remove(session);
  }

  nameOf(label: string): string | undefined {
    const [name, id] = label.split('@');
    return id === groupId(this.#options.group) ? name : undefined;
  }

  async takeSandbox(ref: string, from: string): Promise<boolean> {
    if (!this.isValid) throw new HoldLost(ref);
    const maker = this.nameOf(from);
    // The watch may be behind, and the maker alive.
    if (maker === undefined || !(await this.#membership.members.isDead(maker))) return false;
    return await relabel(this.#options.client, ref, from, this.label);
  }

  async adoptSandbox({ ref, key, instance }: LeftSandbox): Promise<LeftSandbox | undefined> {
    if (!this.isValid) throw new HoldLost(ref);
    const { label } = this;
    const { client, isFit } = this.#options;
    const maker = this.nameOf(instance);
    // In this order: what a run writes after its death, it does not act upon.
    if (maker === undefined || !(await this.#membership.members.isDead(maker))) return undefined;
    if (await this.#records.isNamed(key)) return undefined;
    const adopted = await adoptPod(client, { ref, from: instance, to: label }, isFit);
    // Another run of this server would not have it.
    if (adopted === undefined || !this.isValid || this.label !== label) return undefined;
    return { ref: adopted, key, instance: label };
  }

  async keepSandbox({ owner, id, saved }: SharedSession): Promise<boolean> {
    const known = this.#records.get(this.#nameOf(owner, id));
    if (!known) throw new HoldLost(id);
    if (saved?.ref === undefined) return false;
    return await this.#ties.require(known.object, saved.ref);
  }

  async beginCall(call: BegunCall): Promise<CallBefore | undefined> {
    if (!this.isValid) throw new HoldLost(call.key);
    return await this.#calls.begin(call, this.self.name);
  }

  async forgetCall(owner: string, key: string): Promise<void> {
    // What it did may go on to count.
    if (this.isValid) await this.#calls.forget(owner, key);
  }

  /** Leaves the group. Sessions that were not released are free for others at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#calls[Symbol.dispose]();
    await this.#leave();
  }

  async #leave(): Promise<void> {
    const { lease, members } = this.#membership;
    members[Symbol.dispose]();
    this.#records[Symbol.dispose]();
    await lease.release().catch((error: unknown) => {
      this.#options.log.warn('the lease of this server could not be removed: others wait until it ends', { error });
    });
  }

  #nameOf(owner: string, id: string): string {
    return recordName(this.#options.group, owner, id);
  }

  /** Ties a session's sandbox to its record, if it is another than before. */
  #tie({ owner, id, saved }: SharedSession, before: string | undefined): void {
    const known = this.#records.get(this.#nameOf(owner, id));
    if (saved?.ref === undefined || saved.ref === before || !known) return;
    this.#ties.begin(known.object, saved.ref, this.label);
  }

  async #join(): Promise<void> {
    const { client, group, leaseS, log } = this.#options;
    const lease = await OwnLease.take(this.#options);
    const { name } = lease.self;
    let members: Members | undefined;
    try {
      members = await Members.watch({
        ...{ client, group, leaseS, log },
        onChange: () => this.#tellMembers(),
        onRemoved: (removed) => {
          if (removed === name) lease.revoke();
        },
      });
      await this.#records.watch();
    } catch (error) {
      members?.[Symbol.dispose]();
      await lease.release().catch(() => {});
      throw error;
    }
    const membership = { lease, members };
    this.#membership = membership;
    void lease.over.then(() => this.#expire(membership));
    log.info('joined a group of servers', { group, as: name, others: members.live.length - 1 });
    this.#tellMembers();
  }

  #tellMembers(): void {
    const membership = this.#membership;
    if (!membership) return;
    this.#others = membership.members.live.filter(({ name }) => name !== this.self.name);
    for (const listener of [...this.#onMembers]) listener();
  }

  /** Gives up all that this run held, then joins anew, as another run. */
  async #expire({ lease, members }: Membership): Promise<void> {
    const { signal } = this.#closing;
    if (signal.aborted) return;
    const { log } = this.#options;
    log.error('the lease of this server ran out: others may take its sessions', { lease: lease.self.name });
    members[Symbol.dispose]();
    this.#others = [];
    for (const listener of [...this.#onExpired]) listener();
    let waitMs = WAIT_MS.least;
    let isTold = false;
    while (!signal.aborted) {
      try {
        // Others need not wait for its end then.
        await lease.release();
        await this.#join();
        if (signal.aborted) await this.#leave();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!isTold) log.warn('this server could not join its group anew, and tries again and again', { error });
        isTold = true;
        await sleep(waitMs * (0.5 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => {});
        waitMs = Math.min(waitMs * 2, WAIT_MS.most);
      }
    }
  }
}

function listen(listeners: Set<() => void>, listener: () => void): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => listeners.delete(listener) };
}
