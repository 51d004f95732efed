import type { BackgroundExecution } from '../background-execution.ts';
import type { SessionIdentity } from '../identity.ts';

type EndListener = (session: Pick<SessionIdentity, 'id' | 'owner'>, execution: BackgroundExecution) => void;

/** Tells how executions in the background of all sessions end, tasks included. */
export class BackgroundEnds {
  readonly #listeners = new Set<EndListener>();

  watch(listener: EndListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  tell: EndListener = (session, execution) => {
    for (const listener of this.#listeners) listener(session, execution);
  };
}
