/** Pattern of a project name (PEP 508). */
const NAME = /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/i;
/** Characters of a project name; indexes have no longer ones. */
const LONGEST_NAME = 128;
/** Pattern of a file name: only characters that are safe in a path, a header and a log line. */
const FILENAME = /^[a-z0-9_][a-z0-9._+!~-]{0,254}$/i;
const SDIST_ENDINGS = ['.tar.gz', '.zip', '.tar.bz2', '.tar.xz', '.tgz'];

export function isProjectName(text: string): boolean {
  return text.length <= LONGEST_NAME && NAME.test(text);
}

/** Normalises a project name as indexes do (PEP 503). */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

/** Kind and version of a package file, as its name gives them. */
export interface Distribution {
  readonly kind: 'wheel' | 'sdist';
  readonly version: string;
}

/**
 * Reads the name of a wheel (PEP 427) or a source archive (PEP 625, and the older forms).
 * Undefined for any other file, and for a file that does not belong to `project` (normalised).
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
