/**
 * 403 policy, 404 unknown, 413 too large, 422 what the index offers is wrong, 429 too often, 502 the index failed,
 * 504 it was too slow, 507 no room. Installers ask again after a 5xx: it is for what may go better the next time.
 */
export type ProblemStatus = 400 | 403 | 404 | 405 | 406 | 413 | 422 | 429 | 500 | 502 | 504 | 507;

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

/** A file whose hash is not the one that its index announced. */
export class HashMismatch extends Problem {
  constructor(
    filename: string,
    { name, got, announced }: { name: string; got: string | undefined; announced: string },
  ) {
    super(
      422,
      `${filename} is not what the package index announced: its ${name} differs (hash mismatch). It was discarded.`,
      {
        cause: new Error(`${name} ${got} instead of ${announced}`),
        lasting: true,
      },
    );
  }
}

/** What an installer is told of an index's answer: to ask again only where it would ask the index itself again. */
export function statusFor(answered: number): ProblemStatus {
  const mayGoBetter = answered >= 500 || answered === 408 || answered === 429;
  return mayGoBetter ? 502 : 422;
}

/** Any thrown value as a Problem; what is not one already is a defect of the gateway, told without foreign text. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem(500, 'The package gateway failed; its log says why.', { cause: thrown });
}
