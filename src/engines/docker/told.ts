import type Docker from 'dockerode';
import { GloveboxError } from '../../errors.ts';
import { askAgain, explain } from './answer.ts';

/**
 * Lists containers, running or not. @param label labels that a container must have, all of them
 * @throws GloveboxError `engine_unavailable` also when the answer is no list, as an empty body is: what runs is not gone then
 */
export async function listContainers(docker: Docker, label: readonly string[]): Promise<Docker.ContainerInfo[]> {
  const filters = { label: [...label] };
  return readList(await explain(askAgain(() => docker.listContainers({ all: true, filters }))), 'containers');
}

/** Takes an answer that is to be a list. @throws GloveboxError `engine_unavailable` when it is none */
export function readList<T>(answer: T[], what: string): T[] {
  // The type is what the engine is to answer.
  if (Array.isArray(answer)) return answer;
  throw untold(`which ${what} it has`);
}

/**
 * Makes an exec, without starting it.
 * @throws GloveboxError `engine_unavailable` also when the answer does not name it: a call for it would be answered by that
 *   there is none, as if the container were gone
 */
export async function createExec(container: Docker.Container, options: Docker.ExecCreateOptions): Promise<Docker.Exec> {
  const exec = await explain(container.exec(options));
  if (typeof exec.id === 'string' && exec.id !== '') return exec;
  throw untold('which exec it made');
}

/** The error for an engine that answers a call without what it was asked for. */
export function untold(what: string): GloveboxError {
  return new GloveboxError('engine_unavailable', `The container engine does not tell ${what}.`, {
    hint: 'Look at the engine, and at what is between it and Glovebox, such as a proxy.',
  });
}
