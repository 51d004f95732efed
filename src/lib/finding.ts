import { GloveboxError } from '../errors.ts';

type Level = 'ok' | 'warn' | 'fail';

/** Finding of an examination: the level, the subject, its state, and the next step if one is needed. */
export type Finding = readonly [level: Level, what: string, said: string, next?: string];

/** Returns the findings of `work`. An error becomes a finding that it failed. */
export async function attempt(what: string, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work();
  } catch (error) {
    const { message, hint } = error instanceof GloveboxError ? error : { message: String(error), hint: undefined };
    return [['fail', what, message, ...(hint ? ([hint] as const) : ([] as const))]];
  }
}
