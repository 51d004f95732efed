import type Docker from 'dockerode';
import { GloveboxError } from '../../../errors.ts';

const STATUS_CODES = {
  200: true, // Proxies may answer so.
  201: true,
  400: 'bad parameter',
  404: 'not found',
  409: 'conflict',
  500: 'server error',
} as const;

/** An engine's answer to the creation of a container. */
export interface Created {
  readonly Id: string;
  readonly Warnings?: readonly string[] | null;
}

/** Creates a container. The call of dockerode keeps the warnings to itself. @param path path of the engine's API */
export function callCreate(
  docker: Docker,
  path: string,
  container: { readonly name?: string | undefined },
): Promise<Created> {
  return new Promise((resolve, reject) => {
    // With a query, all of it would be there as well, the system call filter too.
    const { name } = container;
    const options = path.endsWith('?') ? { _query: name === undefined ? {} : { name }, _body: container } : container;
    const call = { path, method: 'POST', options, statusCodes: STATUS_CODES };
    docker.modem.dial(call, (error: unknown, answer: unknown) =>
      error ? reject(error) : settle(answer, resolve, reject),
    );
  });
}

/** Takes an answer that names a container. Some engines, and proxies before them, answer without a body. */
function settle(answer: unknown, resolve: (created: Created) => void, reject: (error: Error) => void): void {
  if (isCreated(answer)) resolve(answer);
  else {
    reject(
      new GloveboxError('engine_unavailable', 'The container engine says that it made a container, and not which.', {
        hint: 'Look at the engine, and at what is between it and Glovebox, such as a proxy.',
      }),
    );
  }
}

function isCreated(answer: unknown): answer is Created {
  return (
    typeof answer === 'object' && answer !== null && 'Id' in answer && typeof answer.Id === 'string' && answer.Id !== ''
  );
}
