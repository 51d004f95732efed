import type { LeftOut } from '../files/left-out.ts';

/** Names in a header: more are counted. */
const MOST_NAMES = 50;
const MOST_CHARACTERS = 4000;

/** The header that names what a tar leaves out, percent-encoded; none where it has all. */
export function leftOutHeader({ count, names }: LeftOut): Record<string, string> {
  if (count === 0) return {};
  const shown: string[] = [];
  let room = MOST_CHARACTERS;
  for (const name of names.slice(0, MOST_NAMES)) {
    const encoded = name.toWellFormed().split('/').map(encodeURIComponent).join('/');
    room -= encoded.length;
    if (room < 0) break;
    shown.push(encoded);
  }
  if (shown.length < count) shown.push(`+${count - shown.length}`);
  return { 'X-Left-Out': shown.join(', ') };
}
