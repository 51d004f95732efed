import type { LeftOut } from '../files/left-out.ts';

/** Names in the header; further ones are only counted. */
const MOST_NAMES = 50;
/** Characters of all names in the header. */
const MOST_CHARACTERS = 4000;

/** The header with the percent-encoded names that a tar leaves out; none if it is complete. */
export function leftOutHeader({ count, names }: LeftOut): Record<string, string> {
  if (count === 0) return {};
  const shown: string[] = [];
  let remaining = MOST_CHARACTERS;
  for (const name of names.slice(0, MOST_NAMES)) {
    const encoded = name.toWellFormed().split('/').map(encodeURIComponent).join('/');
    remaining -= encoded.length;
    if (remaining < 0) break;
    shown.push(encoded);
  }
  if (shown.length < count) shown.push(`+${count - shown.length}`);
  return { 'X-Left-Out': shown.join(', ') };
}
