import { appendFileSync, readFileSync } from 'node:fs';

/** What became of a server over a state directory, as the end of the run tells it. */
export interface ServerNote {
  /** The file of the test that started it, and the test. */
  readonly test: string;
  readonly event: 'started' | 'killed by the test' | `ended with ${string}`;
}

const pathOf = (stateDir: string) => `${stateDir}.notes`;

/** Writes down what becomes of a server, beside its state directory. */
export function noteServer(stateDir: string, note: ServerNote): void {
  appendFileSync(pathOf(stateDir), `${JSON.stringify(note)}\n`);
}

/** The last note of a state directory, if a server of `startServer` was there. */
function lastNoteOf(stateDir: string): ServerNote | undefined {
  try {
    const last = readFileSync(pathOf(stateDir), 'utf8').trimEnd().split('\n').at(-1) ?? '';
    return JSON.parse(last) as ServerNote;
  } catch {
    return undefined;
  }
}

/**
 * What to say of sandboxes that are left of a state directory. Undefined if its last server was killed by a test, which has
 * failed since and passed when it was tried again: such a server cannot have removed them.
 */
export function explainLeft(stateDir: string): string | undefined {
  const note = lastNoteOf(stateDir);
  if (note?.event === 'killed by the test') return undefined;
  return note ? `last server: ${note.event}; ${note.test}` : 'no server of startServer';
}
