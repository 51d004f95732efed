/** Keywords of Python 3.15, the soft ones aside: those may be names of attributes. */
const KEYWORDS = new Set(
  (
    'False None True and as assert async await break class continue def del elif else except finally for from global ' +
    'if import in is lambda nonlocal not or pass raise return try while with yield'
  ).split(' '),
);

/**
 * Names for Python: letters, digits and `_`, not beginning with a digit. A keyword gets `_` appended, and of names that
 * would be the same the later ones get `_2`, `_3`, ….
 */
export function pythonNames(names: readonly string[]): string[] {
  const plain = names.map(pythonName);
  // A tool that has a name by itself keeps it, whichever comes first.
  const taken = new Set(plain.filter((name, index) => name === names[index]));
  return plain.map((name, index) => {
    if (name === names[index]) return name;
    let free = name;
    for (let count = 2; taken.has(free); count += 1) free = `${name}_${count}`;
    taken.add(free);
    return free;
  });
}

/** Name for Python of a single tool or server. */
export function pythonName(name: string): string {
  const safe = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9_]+/g, '_')
    // Names that begin with two underscores are Python's own.
    .replace(/^_+/, '_');
  const begun = /^[0-9]/.test(safe) || safe === '' ? `_${safe}` : safe;
  return KEYWORDS.has(begun) ? `${begun}_` : begun;
}
