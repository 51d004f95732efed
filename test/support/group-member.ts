import { PeerClient } from '../../src/peers/client.ts';
import { PeerKeys } from '../../src/peers/keys.ts';
import { listenForPeers, type PeerListener } from '../../src/peers/listener.ts';
import type { Group, Locator } from '../../src/peers/peer.ts';
import { newKeyPair } from '../../src/state/key-pair.ts';
import type { ControlPlane } from '../../src/state/state.ts';

/** A control plane of a group whose members each test decides; its listener and its connections are real. */
export class Member implements Group, AsyncDisposable {
  readonly self: ControlPlane;
  readonly keys: PeerKeys;
  readonly listener: PeerListener;
  readonly client: PeerClient;
  isValid = true;
  #others: readonly ControlPlane[] = [];
  readonly #onMembers = new Set<() => void>();

  private constructor(self: ControlPlane, keys: PeerKeys, listener: PeerListener) {
    this.self = self;
    this.keys = keys;
    this.listener = listener;
    this.client = new PeerClient(this, keys);
  }

  static async start(name: string): Promise<Member> {
    const pair = newKeyPair();
    const keys = new PeerKeys(pair);
    const listener = await listenForPeers({ host: '127.0.0.1', port: 0 }, keys);
    return new Member({ name, address: listener.address, publicKey: pair.publicKey, version: '0' }, keys, listener);
  }

  get others(): readonly ControlPlane[] {
    return this.#others;
  }

  set others(others: readonly ControlPlane[]) {
    this.#others = others;
    for (const listener of this.#onMembers) listener();
  }

  onMembers(listener: () => void): Disposable {
    this.#onMembers.add(listener);
    return { [Symbol.dispose]: () => void this.#onMembers.delete(listener) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.listener.close();
  }
}

/** Who holds which session, as all members of a group see it. */
export class Holders {
  readonly #names = new Map<string, string>();
  #change = Promise.withResolvers<void>();

  set(owner: string, id: string, holder: Member): void {
    this.#names.set(`${owner}\0${id}`, holder.self.name);
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  /** What a member finds. A session whose holder is gone it takes over. */
  locatorOf(member: Member): Locator {
    const holderOf = (owner: string, id: string) => this.#names.get(`${owner}\0${id}`);
    return {
      locate: async (owner, id) => {
        const name = holderOf(owner, id);
        if (name === undefined) return 'unknown';
        const other = member.others.find((candidate) => candidate.name === name);
        if (name !== member.self.name && !other) this.set(owner, id, member);
        return other ?? 'here';
      },
      mayServe: (owner, id) => (holderOf(owner, id) ?? member.self.name) === member.self.name,
      changed: async (_owner, _id, signal) => {
        const over = Promise.withResolvers<void>();
        signal.addEventListener('abort', () => over.resolve(), { once: true });
        await Promise.race([this.#change.promise, over.promise]);
      },
      sessionOfExecution: (_owner, id) => /^exe_of_(\w+)$/.exec(id)?.[1],
    };
  }
}
