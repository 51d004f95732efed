import { GloveboxError } from '../errors.ts';
import type { BackgroundExecution } from './background-execution.ts';
import { unknownSession } from './names.ts';
import type { Session } from './session.ts';

export interface SessionCounts {
  readonly sessions: number;
  /** Number of these that consist of their archive. */
  readonly hibernated: number;
  /** Terminals of all of them that have not ended. */
  readonly terminals: number;
}

/** All sessions, by owner and id. */
export class SessionRegistry {
  readonly #sessions = new Map<string, Session>();

  get counts(): SessionCounts {
    const terminals = this.all().reduce((sum, session) => sum + session.terminals.live.length, 0);
    const hibernated = this.all().filter(({ isHibernated }) => isHibernated).length;
    return { sessions: this.#sessions.size, hibernated, terminals };
  }

  all(): Session[] {
    return [...this.#sessions.values()];
  }

  of(owner: string): Session[] {
    return this.all().filter((session) => session.owner === owner);
  }

  find(owner: string, id: string): Session | undefined {
    return this.#sessions.get(keyOf(owner, id));
  }

  /** Finds a session. @throws GloveboxError `session_not_found` if it is unknown, has expired, or has another owner */
  get(owner: string, id: string): Session {
    const session = this.find(owner, id);
    if (!session) throw unknownSession(id);
    return session;
  }

  /** Checks that an id is free. @throws GloveboxError `invalid_input` when the owner has a session of that id */
  checkFree(owner: string, id: string): void {
    if (!this.find(owner, id)) return;
    throw new GloveboxError('invalid_input', `There is a session ${JSON.stringify(id)} already.`, {
      hint: 'Choose another name, or close that session first.',
      restHint: 'Choose another name, or close that session first: DELETE /sessions/{id}.',
    });
  }

  /** Finds a background execution. @throws GloveboxError `execution_not_found` if it is unknown, forgotten, or has another owner */
  findBackground(owner: string, id: string): { readonly session: Session; readonly execution: BackgroundExecution } {
    for (const session of this.of(owner)) {
      const execution = session.background.get(id);
      if (execution) return { session, execution };
    }
    throw unknownExecution(id);
  }

  /** Whether this session is still registered. Another one with the same id may have been opened since. */
  has(session: Session): boolean {
    return this.find(session.owner, session.id) === session;
  }

  enter(session: Session): void {
    this.#sessions.set(keyOf(session.owner, session.id), session);
  }

  remove(session: Session): void {
    if (this.has(session)) this.#sessions.delete(keyOf(session.owner, session.id));
  }

  /** Removes all sessions, and returns them. */
  clear(): Session[] {
    const sessions = this.all();
    this.#sessions.clear();
    return sessions;
  }
}

export function unknownExecution(id: string): GloveboxError {
  return new GloveboxError('execution_not_found', `Unknown background execution ${JSON.stringify(id.slice(0, 64))}.`);
}

/** Returns a unique key for owner and id: no name contains NUL. */
function keyOf(owner: string, id: string): string {
  return `${owner}\0${id}`;
}
