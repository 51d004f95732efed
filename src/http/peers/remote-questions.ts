import type { Elicit } from '../../approvals/approvals.ts';
import type { Question } from '../../approvals/question.ts';
import type { PeerClient } from '../../peers/client.ts';
import type { ControlPlane } from '../../state/state.ts';

/** Event with a question to the user of a client that is connected to another control plane. */
export const QUESTION = 'question';

/** Puts questions to such a user by events of the call. The other control plane answers them as an approver does. */
export function askByEvents(write: (event: string, data: string) => unknown): Elicit {
  return async (question, signal) => {
    write(QUESTION, JSON.stringify(question));
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
      if (signal.aborted) resolve();
    });
    return undefined;
  };
}

interface Asking {
  readonly peer: ControlPlane;
  readonly client: PeerClient;
  readonly owner: string;
  /** Aborts when the call is over. */
  readonly signal: AbortSignal;
}

/** Puts a question of another control plane to the user of a client of this one. A user who cannot be asked refuses. */
export async function answerQuestion(sent: object, elicit: Elicit, asking: Asking): Promise<void> {
  const { peer, client, owner, signal } = asking;
  const question = sent as Question;
  const dates = { askedAt: new Date(question.askedAt), expiresAt: new Date(question.expiresAt) };
  const given = await elicit({ ...question, ...dates }, signal).catch(() => undefined);
  if (signal.aborted) return;
  const approver = { name: 'the user of the client', owner };
  const call = {
    ...{ method: 'POST', path: `/approvals/${question.id}`, headers: { 'content-type': 'application/json' } },
    ...{ forwarded: { owner, approver }, body: JSON.stringify({ answer: given ?? 'refuse' }), signal },
  };
  // Somebody else may have answered, or the call be over.
  await client.send(peer, call).then(
    (answer) => answer.resume(),
    () => {},
  );
}
