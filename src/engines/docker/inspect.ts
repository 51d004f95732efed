import type Dockerode from 'dockerode';

const ANSWER_LIMIT_MS = 30_000;

/** Returns whether the engine has an image of this name. Rejects when the engine does not answer. */
export async function hasImage(docker: Dockerode, reference: string): Promise<boolean> {
  try {
    await docker.getImage(reference).inspect();
    return true;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

/** Returns whether the engine runs a container of this name. Rejects when the engine does not answer. */
export async function isRunning(docker: Dockerode, name: string): Promise<boolean> {
  try {
    const abortSignal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    return (await docker.getContainer(name).inspect({ abortSignal })).State.Running;
  } catch (error) {
    if (statusOf(error) === 404) return false;
    throw error;
  }
}

/** Returns whether the call that inspects something was answered by: there is no such thing. */
export async function isMissing(inspecting: Promise<unknown>): Promise<boolean> {
  try {
    await inspecting;
    return false;
  } catch (error) {
    return statusOf(error) === 404 || (error instanceof Error && statusOf(error.cause) === 404);
  }
}

/** Returns what the engine says of an error, or the error's own message. */
export function reasonOf(error: unknown): string {
  const { json, message } = error as { json?: { message?: unknown }; message?: unknown };
  return String(json?.message ?? message ?? error).trim();
}

/** Returns the HTTP status of the engine's refusal. Undefined if the engine was not reached. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : undefined;
}
