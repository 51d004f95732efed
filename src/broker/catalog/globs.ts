import picomatch from 'picomatch';

/** Names are no paths: `*` stands for any text, `/` and leading dots included, and nothing is an escape or a negation. */
const OPTIONS = { bash: true, dot: true, nonegate: true, noextglob: true, regex: false } as const;

/** Makes a test of names by globs such as `list_*` and `{get,find}_?`. */
export function matcherOf(globs: readonly string[]): (name: string) => boolean {
  return globs.length === 0 ? () => false : picomatch([...globs], OPTIONS);
}
