/**
 * Characters that show nothing, or change how what follows is shown: controls other than tab and line feed, marks of
 * direction, zero-width characters, and tags, in which a text for models can be hidden from people.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029\uFFF9-\uFFFB\u{E0000}-\u{E0FFF}]/gu;
/** Sequences by which a terminal sets colours and the like. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what they begin with.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|.)/g;

/** A text of a stranger for people and models: what it says visibly, cut to `limit` characters. */
export function cleanText(text: string, limit: number): string {
  // Cut before as well: cleaning takes time for what is thrown away anyway.
  const clean = text
    .slice(0, limit * 4)
    .replace(/\r\n?/g, '\n')
    .replace(ESCAPES, '')
    .replace(UNSEEN, (character) => (character === '\n' || character === '\t' ? character : ''))
    .trim();
  return clean.length > limit ? `${clean.slice(0, limit - 1).toWellFormed()}…` : clean;
}

/** The same on one line. */
export function cleanLine(text: string, limit: number): string {
  return cleanText(text, limit * 2)
    .replace(/\s+/g, ' ')
    .slice(0, limit)
    .toWellFormed();
}
