import {
  type BegunCall,
  type CallBefore,
  ClaimLost,
  type ControlPlane,
  HoldLost,
  type LeftSandbox,
  type OnSessionChange,
  type SavedSession,
  SessionExists,
  type SharedSession,
  type SharedState,
} from '../../src/state/state.ts';

import type { FakeMachine } from './fake-engine.ts';

/** Records of sessions in memory, which several members share as control planes of a group do. */
export class FakeGroup {
  readonly records = new Map<string, SharedSession>();
  readonly members: FakeMember[] = [];
  readonly calls = new Map<string, CallBefore>();
  /** Where the sandboxes are, if any are to be taken over. */
  readonly machine: FakeMachine | undefined;

  constructor(machine?: FakeMachine) {
    this.machine = machine;
  }

  join(): FakeMember {
    const member = new FakeMember(this, `member-${this.members.length + 1}`);
    this.members.push(member);
    this.tellMembers();
    return member;
  }

  write(session: SharedSession | undefined, before: SharedSession | undefined): void {
    const { owner, id } = session ?? before ?? { owner: '', id: '' };
    if (session) this.records.set(keyOf(owner, id), session);
    else this.records.delete(keyOf(owner, id));
    for (const member of this.members) member.tell(session, before);
  }

  tellMembers(): void {
    for (const member of this.members) for (const listener of [...member.onMembersListeners]) listener();
  }
}

/** State as one member of a fake group sees it. */
export class FakeMember implements SharedState {
  readonly self: ControlPlane;
  /** Whether its lease runs, as others see it. */
  isLive = true;
  /** Whether its lease runs, by its own clock. */
  isValid = true;
  readonly onMembersListeners = new Set<() => void>();
  readonly #group: FakeGroup;
  readonly #onExpired = new Set<() => void>();
  readonly #onChange = new Set<OnSessionChange>();

  constructor(group: FakeGroup, name: string) {
    this.#group = group;
    this.self = { name, address: '', publicKey: '', version: '1' };
  }

  get label(): string {
    return `${this.self.name}@group`;
  }

  get others(): readonly ControlPlane[] {
    return this.#group.members.filter((member) => member.isLive && member !== this).map(({ self }) => self);
  }

  /** Ends its lease as seen by the others, as a kill or a pause does. */
  die(): void {
    this.isLive = false;
    this.#group.tellMembers();
  }

  /** Ends its lease by its own clock. */
  expire(): void {
    this.isValid = false;
    for (const listener of [...this.#onExpired]) listener();
  }

  tell(...change: Parameters<OnSessionChange>): void {
    for (const listener of [...this.#onChange]) listener(...change);
  }

  onExpired(listener: () => void): Disposable {
    return listen(this.#onExpired, listener);
  }

  onMembers(listener: () => void): Disposable {
    return listen(this.onMembersListeners, listener);
  }

  onChange(listener: OnSessionChange): Disposable {
    return listen(this.#onChange, listener);
  }

  find(owner: string, id: string): SharedSession | undefined {
    return this.#group.records.get(keyOf(owner, id));
  }

  async lookUp(owner: string, id: string): Promise<SharedSession | undefined> {
    return this.find(owner, id);
  }

  of(owner: string): readonly SharedSession[] {
    return this.all().filter((session) => session.owner === owner);
  }

  all(): readonly SharedSession[] {
    return [...this.#group.records.values()];
  }

  holderOf({ holder }: SharedSession): ControlPlane | undefined {
    if (holder === this.self.name) return this.isValid ? this.self : undefined;
    return this.others.find(({ name }) => name === holder);
  }

  async create(owner: string, id: string, saved?: SavedSession, createdAt = new Date()): Promise<SharedSession> {
    this.#requireValid(id);
    const present = this.find(owner, id);
    if (present) throw new SessionExists(present);
    const session = { owner, id, createdAt, generation: 1, holder: this.self.name, saved };
    this.#group.write(session, undefined);
    return session;
  }

  async claim({ owner, id }: SharedSession): Promise<SharedSession> {
    this.#requireValid(id);
    const present = this.find(owner, id);
    const holder = present && this.holderOf(present);
    if (!present || (holder && holder !== this.self)) throw new ClaimLost(id, present);
    const session = { ...present, holder: this.self.name, generation: present.generation + 1 };
    this.#group.write(session, present);
    return session;
  }

  async save(session: SharedSession, saved: SavedSession): Promise<SharedSession> {
    const now = { ...this.#held(session), saved };
    this.#group.write(now, session);
    return now;
  }

  async release(session: SharedSession, saved: SavedSession): Promise<void> {
    this.#group.write({ ...this.#held(session), saved, holder: undefined }, session);
  }

  async remove(session: SharedSession): Promise<void> {
    this.#group.write(undefined, this.#held(session));
  }

  nameOf(label: string): string | undefined {
    const [name, group] = label.split('@');
    return group === 'group' ? name : undefined;
  }

  async takeSandbox(ref: string, from: string): Promise<boolean> {
    return this.#relabel(ref, from);
  }

  async adoptSandbox({ ref, key, instance }: LeftSandbox): Promise<LeftSandbox | undefined> {
    if (this.all().some(({ saved }) => saved?.key === key)) return undefined;
    return this.#relabel(ref, instance) ? { ref, key, instance: this.label } : undefined;
  }

  async keepSandbox(): Promise<boolean> {
    return true;
  }

  async beginCall({ owner, key, fingerprint }: BegunCall): Promise<CallBefore | undefined> {
    const before = this.#group.calls.get(keyOf(owner, key));
    if (!before) this.#group.calls.set(keyOf(owner, key), { fingerprint });
    return before;
  }

  async forgetCall(owner: string, key: string): Promise<void> {
    this.#group.calls.delete(keyOf(owner, key));
  }

  #relabel(ref: string, from: string): boolean {
    const sandbox = this.#group.machine?.sandboxes.get(ref);
    const isLive = this.#group.members.some(({ label, isLive }) => label === from && isLive);
    if (sandbox?.spec.instance !== from || isLive) return false;
    sandbox.spec = { ...sandbox.spec, instance: this.label };
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.die();
  }

  #held(session: SharedSession): SharedSession {
    this.#requireValid(session.id);
    const present = this.find(session.owner, session.id);
    if (present?.holder !== this.self.name || present.generation !== session.generation) throw new HoldLost(session.id);
    return present;
  }

  #requireValid(id: string): void {
    if (!this.isValid) throw new HoldLost(id);
  }
}

function listen<T>(listeners: Set<T>, listener: T): Disposable {
  listeners.add(listener);
  return { [Symbol.dispose]: () => listeners.delete(listener) };
}

function keyOf(owner: string, id: string): string {
  return `${owner}\0${id}`;
}
