import { sayBegun } from '../errors.ts';
import type { ExecutionOptions } from './request.ts';

/** Runs an execution. Its errors say whether it had begun: whether its request was on its way to the sandbox. */
export async function sayingBegun<T>(
  options: ExecutionOptions,
  run: (options: ExecutionOptions) => Promise<T>,
): Promise<T> {
  let hasBegun = false;
  const onSent = () => {
    hasBegun = true;
    options.onSent?.();
  };
  try {
    return await run({ ...options, onSent });
  } catch (error) {
    throw sayBegun(error, hasBegun);
  }
}

/** Does what comes before anything of a call is begun, and says so in errors. */
export async function beforeBegin<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw sayBegun(error, false);
  }
}
