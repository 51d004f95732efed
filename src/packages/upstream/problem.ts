/**
 * Status of an answer: 403 denied by policy, 404 unknown, 413 too large, 422 wrong data from the index, 429 too many
 * requests, 502 the index failed, 504 it timed out, 507 no space. Installers retry after a 5xx, so it is used only for
 * failures that may pass.
 */
export type ProblemStatus = 400 | 403 | 404 | 405 | 406 | 413 | 422 | 429 | 500 | 502 | 504 | 507;

/**
 * An error that answers a request of a sandbox. The message is one line for the user of the installer, and contains no
 * address of an index. `cause` is for the log.
 */
export class Problem extends Error {
  readonly status: ProblemStatus;
  /** Whether a retry would fail in the same way. The answer is then remembered for a while. */
  readonly lasting: boolean;

  constructor(status: ProblemStatus, message: string, options: { cause?: unknown; lasting?: boolean } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'Problem';
    this.status = status;
    this.lasting = options.lasting ?? false;
  }
}

/** Error of a file whose hash is not the one that its index announced. */
export class HashMismatch extends Problem {
  constructor(
    filename: string,
    { name, got, announced }: { name: string; got: string | undefined; announced: string },
  ) {
    super(
      422,
      `${filename} does not have the ${name} that the package index announced (hash mismatch). It was discarded.`,
      {
        cause: new Error(`${name} ${got} instead of ${announced}`),
        lasting: true,
      },
    );
  }
}

/** Status for the installer when an index answered with an error: a 5xx only for errors that may pass. */
export function statusFor(answered: number): ProblemStatus {
  const mayPass = answered >= 500 || answered === 408 || answered === 429;
  return mayPass ? 502 : 422;
}

/** Any thrown value as a Problem. Another error is a defect of the gateway, and its text is not shown. */
export function toProblem(thrown: unknown): Problem {
  if (thrown instanceof Problem) return thrown;
  return new Problem(500, 'The package gateway failed. The log of the server has the reason.', { cause: thrown });
}
