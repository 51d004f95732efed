import type Docker from 'dockerode';

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
export function callCreate(docker: Docker, path: string, options: object): Promise<Created> {
  return new Promise((resolve, reject) => {
    const call = { path, method: 'POST', options, statusCodes: STATUS_CODES };
    docker.modem.dial(call, (error: unknown, answer: unknown) => (error ? reject(error) : resolve(answer as Created)));
  });
}
