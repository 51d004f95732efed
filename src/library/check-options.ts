import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';

/** Types of options, named as in messages. */
const KINDS = {
  text: (value: unknown) => typeof value === 'string',
  number: (value: unknown) => typeof value === 'number',
  'true or false': (value: unknown) => typeof value === 'boolean',
  function: (value: unknown) => typeof value === 'function',
  AbortSignal: (value: unknown) => value instanceof AbortSignal,
  'list of texts': (value: unknown) => Array.isArray(value) && value.every((text) => typeof text === 'string'),
  'text or list of texts': (value: unknown) =>
    typeof value === 'string' || (Array.isArray(value) && value.every((text) => typeof text === 'string')),
  'text or stream of bytes': (value: unknown) =>
    typeof value === 'string' || (typeof value === 'object' && value !== null && Symbol.asyncIterator in value),
  'object of tools': (value: unknown) =>
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((tool) => typeof tool === 'object' && tool && typeof tool.handler === 'function'),
  'object of texts': (value: unknown) =>
    typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string'),
} as const;

type Kind = keyof typeof KINDS;

/** Types of a call's options, by name. */
export type Options = Readonly<Record<string, Kind>>;

/** Options that many calls have. */
export const SIGNAL: Options = { signal: 'AbortSignal' };
export const OWNER: Options = { owner: 'text' };

/**
 * Checks the options of a call, for programs without type checks.
 * @param call name of the call, as in a program
 * @throws GloveboxError `invalid_input` that names the option, and the nearest valid name for an unknown one
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

/** Checks that a value is a string. @throws GloveboxError `invalid_input` */
export function checkText(call: string, what: string, value: unknown): void {
  if (typeof value !== 'string') throw invalid(`${what} of ${call} is no text.`);
}

/** Checks that a value is a command line, or a list of a program and its arguments. @throws GloveboxError `invalid_input` */
export function checkCommand(call: string, value: unknown): void {
  if (typeof value === 'string' || KINDS['list of texts'](value)) return;
  throw invalid(`The command of ${call} is neither text nor a list of texts.`);
}

function listOptions(call: string, known: Options): string {
  return `Options of ${call}: ${Object.keys(known).join(', ')}.`;
}

function invalid(message: string, hint?: string): GloveboxError {
  return new GloveboxError('invalid_input', message, hint === undefined ? {} : { hint });
}
