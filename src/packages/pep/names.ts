/** A project name as PEP 508 allows it; indexes hold none longer than this. */
const NAME = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i;
const LONGEST_NAME = 128;
/** What a file of an index may be called: nothing that a path, a header or a log line could trip over. */
const FILENAME = /^[a-z0-9_][a-z0-9._+!~-]{0,254}$/i;
const SDIST_ENDINGS = ['.tar.gz', '.zip', '.tar.bz2', '.tar.xz', '.tgz'];

export function isProjectName(text: string): boolean {
  return text.length <= LONGEST_NAME && NAME.test(text);
}

/** The one spelling that indexes use (PEP 503). */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

/** What a file's name says about it. */
export interface Distribution {
  readonly kind: 'wheel' | 'sdist';
  readonly version: string;
}

/**
 * Reads a wheel's (PEP 427) or source archive's (PEP 625, and what came before it) name.
 * Undefined for what is neither, or belongs to another project than `project` (normalised).
 */
export function parseFilename(filename: string, project: string): Distribution | undefined {
  if (!FILENAME.test(filename)) return undefined;
  if (filename.endsWith('.whl')) return parseWheelName(filename, project);
  const ending = SDIST_ENDINGS.find((candidate) => filename.endsWith(candidate));
  if (!ending) return undefined;
  const stem = filename.slice(0, -ending.length);
  // Old archives have unescaped dashes in their names: the project decides where the version begins.
  for (let dash = stem.indexOf('-'); dash > 0; dash = stem.indexOf('-', dash + 1)) {
    const version = stem.slice(dash + 1);
    if (version && normalizeName(stem.slice(0, dash)) === project) return { kind: 'sdist', version };
  }
  return undefined;
}

function parseWheelName(filename: string, project: string): Distribution | undefined {
  const parts = filename.slice(0, -'.whl'.length).split('-');
  const [name, version] = parts;
  if ((parts.length !== 5 && parts.length !== 6) || !name || !version) return undefined;
  return normalizeName(name) === project ? { kind: 'wheel', version } : undefined;
}
