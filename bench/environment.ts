/** Settings that say what there is to measure; all others are the defaults, so that runs compare. */
const KEPT = ['GLOVEBOX_BASE', 'GLOVEBOX_INDEX_URL', 'GLOVEBOX_RUNTIME', 'GLOVEBOX_SETUP'];

/** The environment of the programs that are measured. */
export function environment(): Record<string, string> {
  const entries = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith('GLOVEBOX_') || KEPT.includes(name)));
}
