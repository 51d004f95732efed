import { GloveboxError } from '../errors.ts';

type Level = 'ok' | 'warn' | 'fail';

/** What an examination found of one thing: how it is, and what to do about it, where something is to be done. */
export type Finding = readonly [level: Level, what: string, said: string, next?: string];

/** What `work` finds; an error is the finding that it failed. */
export async function attempt(what: string, work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work();
  } catch (error) {
    const { message, hint } = error instanceof GloveboxError ? error : { message: String(error), hint: undefined };
    return [['fail', what, message, ...(hint ? ([hint] as const) : ([] as const))]];
  }
}
