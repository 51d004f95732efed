import { GloveboxError } from '../errors.ts';
import type { Conditions, RangeCondition } from '../files/session-files.ts';

/** Pattern of an entity tag (RFC 9110, section 8.8.3). */
const TAG = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;

/** The ETag header for a file's tag. */
export function toETag(tag: string): string {
  return `"${tag}"`;
}

/**
 * Reads the conditions for sending a file (RFC 9110, section 13.1). Undefined without conditions.
 * @throws GloveboxError `invalid_input` for a condition that cannot be read; it must not be ignored
 */
export function conditionsToRead(headers: Headers): Conditions | undefined {
  const since = headers.has('if-none-match') ? undefined : readDate(headers.get('if-modified-since'));
  return present({ ...commonConditions(headers), ...(since === undefined ? {} : { modified_since: since }) });
}

/** Reads the conditions for replacing or deleting a file. @throws GloveboxError as `conditionsToRead` does */
export function conditionsToChange(headers: Headers): Conditions | undefined {
  return present(commonConditions(headers));
}

/** Whether a request has conditions, which apply to single files only. */
export function hasConditions(headers: Headers): boolean {
  return ['if-match', 'if-none-match', 'if-unmodified-since'].some((name) => headers.has(name));
}

/** Reads an If-Range header. Undefined without one; 'none' when no file can match it. */
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

/** Reads a list of tags. In a strong comparison, weak tags match nothing, so they are left out. */
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

/** Reads an HTTP date in any of its three forms, as seconds since 1970. Undefined for other texts, as in RFC 9110. */
function readDate(header: string | null | undefined): number | undefined {
  const text = header?.trim() ?? '';
  const isDate = /^[A-Z][a-z]{2,8}, .* GMT$/.test(text) || /^[A-Z][a-z]{2} [A-Z][a-z]{2} .* \d{4}$/.test(text);
  const ms = isDate ? Date.parse(text.endsWith('GMT') ? text : `${text} GMT`) : Number.NaN;
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}
