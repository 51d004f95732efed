/** 403 policy, 404 unknown, 413 too large, 429 too often, 502 the index erred, 504 it was too slow, 507 no room. */
export type ProblemStatus = 400 | 403 | 404 | 405 | 406 | 413 | 429 | 500 | 502 | 504 | 507;

/**
 * Why a request of a sandbox has no better answer. The message is one line for whoever runs the installer:
 * it names no upstream address. `cause` is for the log.
 */
export class Problem extends Error {
  readonly status: ProblemStatus;
  /** Asking again soon would end the same way: the answer is remembered for a while. */
  readonly lasting: boolean;

  constructor(status: ProblemStatus, message: string, options: { cause?: unknown; lasting?: boolean } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'Problem';
    this.status = status;
    this.lasting = options.lasting ?? false;
  }
}

/** Any thrown value as a Problem; what is not one already is a defect of the gateway, told without foreign text. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem(500, 'The package gateway failed; its log says why.', { cause: thrown });
}
