import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';

/** What an option may be, in words for messages. */
const KINDS = {
  text: (value: unknown) => typeof value === 'string',
  number: (value: unknown) => typeof value === 'number',
  'true or false': (value: unknown) => typeof value === 'boolean',
  function: (value: unknown) => typeof value === 'function',
  AbortSignal: (value: unknown) => value instanceof AbortSignal,
  'object of texts': (value: unknown) =>
    typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string'),
} as const;

type Kind = keyof typeof KINDS;

/** The options of a call, by name. */
export type Options = Readonly<Record<string, Kind>>;

/** Options that many calls have. */
export const SIGNAL: Options = { signal: 'AbortSignal' };
export const OWNER: Options = { owner: 'text' };

/**
 * Checks what a program that is not checked by types may have got wrong.
 * @param call what was called, as the program writes it
 * @throws GloveboxError `invalid_input` that names the option, and the nearest name for one that there is not
 */
export function checkOptions(call: string, options: unknown, known: Options): void {
  if (typeof options !== 'object' || options === null) {
    throw invalid(`The options of ${call} are no object.`, listOptions(call, known));
  }
  for (const [name, value] of Object.entries(options)) {
    const kind = Object.hasOwn(known, name) ? known[name] : undefined;
    if (kind === undefined) {
      const meant = nearest(name, Object.keys(known));
      const next = meant ? `Did you mean ${JSON.stringify(meant)}?` : listOptions(call, known);
      throw invalid(`${call} has no option ${JSON.stringify(name)}.`, next);
    }
    if (value !== undefined && !KINDS[kind](value)) throw invalid(`The option ${name} of ${call} is no ${kind}.`);
  }
}

/** @throws GloveboxError `invalid_input` for what is no text */
export function checkText(call: string, what: string, value: unknown): void {
  if (typeof value !== 'string') throw invalid(`${what} of ${call} is no text.`);
}

function listOptions(call: string, known: Options): string {
  return `Options of ${call}: ${Object.keys(known).join(', ')}.`;
}

function invalid(message: string, hint?: string): GloveboxError {
  return new GloveboxError('invalid_input', message, hint === undefined ? {} : { hint });
}
