import { GloveboxError } from '../errors.ts';
import type { Conditions, RangeCondition } from '../files/session-files.ts';

/** An entity tag of RFC 9110, section 8.8.3. */
const TAG = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;

export function toETag(tag: string): string {
  return `"${tag}"`;
}

/**
 * What must hold for a file to be sent (RFC 9110, section 13.1); undefined when nothing must.
 * @throws GloveboxError `invalid_input` for a condition that cannot be read, which would be passed over otherwise
 */
export function conditionsToRead(headers: Headers): Conditions | undefined {
  const since = headers.has('if-none-match') ? undefined : readDate(headers.get('if-modified-since'));
  return present({ ...commonConditions(headers), ...(since === undefined ? {} : { modified_since: since }) });
}

/** What must hold for a file to be replaced or deleted. @throws GloveboxError as `conditionsToRead` does */
export function conditionsToChange(headers: Headers): Conditions | undefined {
  return present(commonConditions(headers));
}

/** Whether a request has conditions that are none on a single file. */
export function hasConditions(headers: Headers): boolean {
  return ['if-match', 'if-none-match', 'if-unmodified-since'].some((name) => headers.has(name));
}

/** The file that a range is wanted of: undefined when of any, 'none' when no file is meant by what is said. */
export function rangeCondition(header: string | undefined): RangeCondition | 'none' | undefined {
  if (header === undefined) return undefined;
  const [, weak, tag] = TAG.exec(header.trim()) ?? [];
  if (tag !== undefined) return weak ? 'none' : { tag };
  const modified = readDate(header);
  return modified === undefined ? 'none' : { modified };
}

function commonConditions(headers: Headers): Conditions {
  const match = readTags('If-Match', headers.get('if-match'), 'strong');
  const noneMatch = readTags('If-None-Match', headers.get('if-none-match'), 'weak');
  const since = match === undefined ? readDate(headers.get('if-unmodified-since')) : undefined;
  return {
    ...(match === undefined ? {} : { match }),
    ...(noneMatch === undefined ? {} : { none_match: noneMatch }),
    ...(since === undefined ? {} : { unmodified_since: since }),
  };
}

function present(conditions: Conditions): Conditions | undefined {
  return Object.keys(conditions).length > 0 ? conditions : undefined;
}

/** Tags of a list; in a strong comparison a weak one is like no other. */
function readTags(name: string, header: string | null, comparison: 'strong' | 'weak'): '*' | string[] | undefined {
  if (header === null) return undefined;
  if (header.trim() === '*') return '*';
  const found = header.match(/(W\/)?"[^"]*"|[^,\s][^,]*/g) ?? [];
  const tags = found.map((tag) => TAG.exec(tag.trim()));
  if (tags.length === 0 || tags.includes(null)) {
    throw new GloveboxError('invalid_input', `The header ${name} is neither * nor a list of entity tags.`, {
      hint: 'Send the ETag of an earlier answer as it is, with its quotation marks.',
    });
  }
  return tags.flatMap((tag) => (tag?.[1] && comparison === 'strong' ? [] : [tag?.[2] ?? '']));
}

/** Seconds of an HTTP date, in any of its three forms; undefined for anything else, which RFC 9110 has ignored. */
function readDate(header: string | null | undefined): number | undefined {
  const text = header?.trim() ?? '';
  const isDate = /^[A-Z][a-z]{2,8}, .* GMT$/.test(text) || /^[A-Z][a-z]{2} [A-Z][a-z]{2} .* \d{4}$/.test(text);
  const ms = isDate ? Date.parse(text.endsWith('GMT') ? text : `${text} GMT`) : Number.NaN;
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}
