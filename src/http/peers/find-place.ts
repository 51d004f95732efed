import type { PeerClient } from '../../peers/client.ts';
import type { Group, Locator, Sought } from '../../peers/peer.ts';
import { tagOf } from '../../peers/tag.ts';
import type { ControlPlane } from '../../state/state.ts';
import type { Subject } from './subject.ts';

/** Where a request is served, if not here. */
export interface Place {
  readonly peer: ControlPlane;
  /** Session that it is about. */
  readonly session?: string;
}

export interface PlacesOptions {
  readonly group: Group;
  readonly client: PeerClient;
  readonly locator: Locator;
  /** Whether something is here that only the control plane that made it has. */
  readonly has: (owner: string, sought: Sought) => boolean;
}

/** Finds the control planes that serve requests. */
export class Places {
  readonly #options: PlacesOptions;

  constructor(options: PlacesOptions) {
    this.#options = options;
  }

  /**
   * Finds who serves what a request is about. Undefined if this control plane does, also where there is nothing to serve.
   * @param begins whether the request may be the first with its idempotency key
   */
  async find(owner: string, subject: Subject, begins: boolean, signal: AbortSignal): Promise<Place | undefined> {
    const { group, locator } = this.#options;
    const { kind, id } = subject;
    if (kind === 'tag') return placeAt(group.others.find(({ name }) => tagOf(name) === id));
    if (kind === 'session') return await this.#session(owner, id, signal);
    const session = kind === 'execution' ? locator.sessionOfExecution(owner, id) : undefined;
    if (session !== undefined) return await this.#session(owner, session, signal);
    const holder = await this.#seek(owner, { kind, id }, signal);
    if (holder) return placeAt(holder);
    return kind === 'idempotency_key' && begins ? placeAt(this.#chosenFor(`${owner}\0${id}`)) : undefined;
  }

  async #session(owner: string, id: string, signal: AbortSignal): Promise<Place | undefined> {
    const found = await this.#options.locator.locate(owner, id, signal);
    return typeof found === 'string' ? undefined : { peer: found, session: id };
  }

  /** Asks all others, unless it is here. */
  async #seek(owner: string, sought: Sought, signal: AbortSignal): Promise<ControlPlane | undefined> {
    const { group, client, has } = this.#options;
    if (group.others.length === 0 || has(owner, sought)) return undefined;
    const answers = group.others.map(async (peer) =>
      (await client.has(peer, owner, sought, signal)) ? peer : undefined,
    );
    return (await Promise.all(answers)).find((peer) => peer !== undefined);
  }

  /**
   * The control plane for calls with an idempotency key, where they name no session: the same for all that ask at a time,
   * so that two attempts of one call meet. Undefined if that is this one.
   */
  #chosenFor(key: string): ControlPlane | undefined {
    const { self, others } = this.#options.group;
    const [first] = [self, ...others]
      .map((member) => ({ member, weight: tagOf(`${member.name}\0${key}`) }))
      .sort((one, other) => (one.weight < other.weight ? -1 : 1));
    return first && first.member.name !== self.name ? first.member : undefined;
  }
}

function placeAt(peer: ControlPlane | undefined): Place | undefined {
  return peer && { peer };
}
