import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type ErrorBody, GloveboxError } from '../../errors.ts';
import { NotBegun } from '../../peers/client.ts';

/** Header of an answer to another control plane that passed a request on: it was given up, and nothing of it was begun. */
export const GIVEN_UP_HEADER = 'glovebox-given-up';

/** A request that was taken, and given up before anything of it was begun. It may be sent once more. */
export class GivenUp extends NotBegun {
  /** What its caller is told if nobody else serves it. */
  readonly error: GloveboxError;

  constructor(error: GloveboxError) {
    super(error.message, { cause: error });
    this.error = error;
  }
}

/** Whether a call has failed because its session has moved, and nothing of it was begun. */
export function wasGivenUp(error: unknown): boolean {
  return error instanceof GloveboxError && error.code === 'session_moved' && error.begun === false;
}

/**
 * Whether a request that another control plane has passed on is given up: another may serve it.
 * @param closing aborts when this one shuts down
 */
export function isGivenUp(error: GloveboxError, closing: AbortSignal): boolean {
  return wasGivenUp(error) || (error.begun === false && closing.aborted);
}

/** Data of the event `error` of a call. */
export interface ErrorEvent {
  readonly error: ErrorBody;
  /** What the header says of other answers. Only other control planes are told. */
  readonly given_up?: true;
}

/** @throws GivenUp when an answer says that its request was given up */
export async function throwIfGivenUp(answer: IncomingMessage): Promise<void> {
  if (answer.headers[GIVEN_UP_HEADER] === undefined) return;
  const body = await buffer(answer);
  // Of an answer to HEAD, there are headers only.
  const error = body.length > 0 ? toError(JSON.parse(String(body)) as { error: ErrorBody }) : hasMoved();
  throw new GivenUp(error);
}

function hasMoved(): GloveboxError {
  return new GloveboxError('session_moved', 'The session has moved to another server of this service.', {
    begun: false,
  });
}

/** The error that another control plane answers with. */
export function toError({ error }: { readonly error: ErrorBody }): GloveboxError {
  const { code, message, hint, retry_after_s, begun } = error;
  return new GloveboxError(code, message, { hint, retryAfterS: retry_after_s, begun });
}
