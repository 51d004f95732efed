import { GloveboxError } from '../../errors.ts';

const MAX_PATTERNS = 64;

/** Field of a new session: hosts that its code may reach. */
export const webSchema = {
  type: 'array',
  items: { type: 'string', maxLength: 300 },
  maxItems: MAX_PATTERNS,
  description:
    'Hosts that its code may reach for the whole life of the session, of those that you may reach; by default all of these. [] is none.',
};

/** Reads that field. @throws GloveboxError `invalid_input` when it is no list of strings */
export function readHosts(value: unknown): readonly string[] | undefined {
  if (value === undefined) return undefined;
  if (isTexts(value) && value.length <= MAX_PATTERNS) return value;
  throw new GloveboxError('invalid_input', `The field "web" must be a list of at most ${MAX_PATTERNS} strings.`, {
    hint: 'For example: {"web": ["api.example.com"]}. Leave it out for all hosts that you may reach.',
  });
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
