import type Dockerode from 'dockerode';

const ANSWER_LIMIT_MS = 30_000;

/** Whether the engine has an image of this name. Rejects when the engine does not answer. */
export async function hasImage(docker: Dockerode, reference: string): Promise<boolean> {
  try {
    await docker.getImage(reference).inspect();
    return true;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

/** Whether the engine runs a container of this name. Rejects when the engine does not say. */
export async function isRunning(docker: Dockerode, name: string): Promise<boolean> {
  try {
    const abortSignal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    return (await docker.getContainer(name).inspect({ abortSignal })).State.Running;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

/** The HTTP status that the engine refused with, if it was reached. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : undefined;
}
