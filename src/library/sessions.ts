import { type Access, inOurWords, ownerOf } from './access.ts';
import { checkOptions, checkText, OWNER } from './check-options.ts';
import { Session, type SessionInfo, toInfo } from './session.ts';

/** Which session to open. */
export interface OpenSessionOptions {
  /** Whose it is: nobody else sees it. `local` if left out. */
  readonly owner?: string | undefined;
  /** A name of your own, under which it is found again; without one it gets a new id. */
  readonly name?: string | undefined;
  /** The id of a snapshot that a new session begins as. */
  readonly snapshot?: string | undefined;
}

/** The sessions of all owners. */
export class Sessions {
  readonly #access: Access;

  /** @internal */
  constructor(access: Access) {
    this.#access = access;
  }

  /**
   * Opens a session: the one of that name if there is one, else a new one.
   * @throws GloveboxError `invalid_input` for what is no name, or is taken while a snapshot is to be opened under it;
   * `capacity_exceeded`, `not_found`
   */
  async open(options: OpenSessionOptions = {}): Promise<Session> {
    checkOptions('sessions.open', options, { ...OWNER, name: 'text', snapshot: 'text' });
    const owner = ownerOf(options);
    const { name, snapshot } = options;
    const { sessions, snapshots } = this.#access.glovebox;
    if (snapshot !== undefined) {
      const { session_id: id } = await snapshots.open(owner, snapshot, name);
      return new Session(this.#access, { owner, id, created: true });
    }
    const { session, created } = await sessions.create(owner, name);
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
