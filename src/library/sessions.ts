import { type Access, inOurWords, ownerOf } from './access.ts';
import { checkOptions, checkText, OWNER } from './check-options.ts';
import { Session, type SessionInfo, toInfo } from './session.ts';

/** Options for opening a session. */
export interface OpenSessionOptions {
  /** Owner of the session. No other owner sees it. Default: `local`. */
  readonly owner?: string | undefined;
  /** Name by which to find it again. Default: a new id. */
  readonly name?: string | undefined;
  /** Id of a snapshot to create the session from. */
  readonly snapshot?: string | undefined;
  /** Patterns of hosts that its code may reach, of those that its owner may. Default: all of these. */
  readonly web?: readonly string[] | undefined;
}

/** Sessions of all owners. */
export class Sessions {
  readonly #access: Access;

  /** @internal */
  constructor(access: Access) {
    this.#access = access;
  }

  /**
   * Opens the session of a name, or a new one if it does not exist.
   * @throws GloveboxError `invalid_input` for an invalid name, or with `snapshot` for a name that is taken;
   *   `capacity_exceeded`, `not_found`
   */
  async open(options: OpenSessionOptions = {}): Promise<Session> {
    checkOptions('sessions.open', options, { ...OWNER, name: 'text', snapshot: 'text', web: 'list of texts' });
    const owner = ownerOf(options);
    const { name, snapshot, web } = options;
    const { sessions, snapshots } = this.#access.glovebox;
    if (snapshot !== undefined) {
      const { session_id: id } = await snapshots.open(owner, snapshot, name, web);
      return new Session(this.#access, { owner, id, created: true });
    }
    const { session, created } = await sessions.create(owner, name, web);
    return new Session(this.#access, { owner, id: session.session_id, created });
  }

  /** Finds a session by its id or name. @throws GloveboxError `session_not_found` */
  get(id: string, options: { readonly owner?: string | undefined } = {}): Session {
    checkText('sessions.get', 'The id', id);
    checkOptions('sessions.get', options, OWNER);
    const owner = ownerOf(options);
    inOurWords(() => this.#access.glovebox.sessions.get(owner, id));
    return new Session(this.#access, { owner, id, created: false });
  }

  /** Lists the sessions of an owner. */
  list(options: { readonly owner?: string | undefined } = {}): SessionInfo[] {
    checkOptions('sessions.list', options, OWNER);
    const owner = ownerOf(options);
    return this.#access.glovebox.sessions.list(owner).map((summary) => toInfo(owner, summary));
  }
}
