import { compareVersions, isPrerelease, parseVersion, publicPart, sameBase, type Version } from './version.ts';

const OPERATORS = ['===', '~=', '==', '!=', '<=', '>=', '<', '>'] as const;
type Operator = (typeof OPERATORS)[number];

/** One clause of a version specifier (PEP 440), such as `>=1.26` or `==2.*`. */
export interface Specifier {
  readonly operator: Operator;
  /** As it was written, without a trailing `.*`. */
  readonly text: string;
  /** `==2.*`, `!=2.*`. */
  readonly prefix: boolean;
  /** Missing only under `===`, which compares text. */
  readonly version?: Version;
}

/**
 * Reads comma-separated clauses; an empty text is the empty list, which every version matches.
 * @returns a sentence about the first clause that cannot be read, in place of the clauses.
 */
export function parseSpecifiers(text: string): readonly Specifier[] | string {
  if (text.trim() === '') return [];
  const specifiers: Specifier[] = [];
  for (const clause of text.split(',')) {
    const parsed = parseClause(clause.trim());
    if (typeof parsed === 'string') return parsed;
    specifiers.push(parsed);
  }
  return specifiers;
}

function parseClause(clause: string): Specifier | string {
  const operator = OPERATORS.find((candidate) => clause.startsWith(candidate));
  if (!operator) {
    return clause.startsWith('=')
      ? `"${clause}" has one "="; write "=${clause}".`
      : `"${clause}" is no version specifier; write one such as ">=1.2" or "==2.*".`;
  }
  const text = clause.slice(operator.length).trim();
  if (operator === '===') {
    return text && !/[\s;()]/.test(text) ? { operator, text, prefix: false } : `"${clause}" names no version.`;
  }
  const prefix = text.endsWith('.*');
  const bare = prefix ? text.slice(0, -2) : text;
  const version = parseVersion(bare);
  if (!version) return `"${text}" in "${clause}" is no version of PEP 440, such as 1.26 or 2.0rc1.`;
  if (prefix && operator !== '==' && operator !== '!=') return `"${clause}": only == and != may end in ".*".`;
  if (prefix && (version.dev !== undefined || version.local)) return `"${clause}" mixes ".*" with a dev or local part.`;
  if (operator === '~=' && version.release.length < 2) return `"${clause}" needs two numbers at least, as in "~=1.4".`;
  if (version.local && operator !== '==' && operator !== '!=') return `"${clause}": a local part needs == or !=.`;
  return { operator, text: bare, prefix, version };
}

/** Whether a version meets every clause; pre-releases count as the versions that they are. */
export function matchesSpecifiers(candidate: Version, specifiers: readonly Specifier[]): boolean {
  return specifiers.every((specifier) => matches(candidate, specifier));
}

function matches(candidate: Version, { operator, text, prefix, version }: Specifier): boolean {
  if (!version) return candidate.text.toLowerCase() === text.toLowerCase();
  switch (operator) {
    case '==':
      return prefix ? hasPrefix(candidate, version) : equals(candidate, version);
    case '!=':
      return !(prefix ? hasPrefix(candidate, version) : equals(candidate, version));
    case '<=':
      return compareVersions(publicPart(candidate), version) <= 0;
    case '>=':
      return compareVersions(publicPart(candidate), version) >= 0;
    case '<':
      return isBefore(candidate, version);
    case '>':
      return isAfter(candidate, version);
    default:
      return isCompatible(candidate, version);
  }
}

function equals(candidate: Version, version: Version): boolean {
  return compareVersions(version.local ? candidate : publicPart(candidate), version) === 0;
}

function hasPrefix(candidate: Version, version: Version): boolean {
  if (candidate.epoch !== version.epoch) return false;
  if (version.pre || version.post !== undefined) return hasExactHead(candidate, version);
  return version.release.every((number, index) => (candidate.release[index] ?? 0n) === number);
}

/** `==1.0rc1.*` and `==1.0.post2.*`: the release is whole, what follows may go on. */
function hasExactHead(candidate: Version, version: Version): boolean {
  if (!sameBase(candidate, version)) return false;
  const samePre = candidate.pre?.[0] === version.pre?.[0] && candidate.pre?.[1] === version.pre?.[1];
  return samePre && (version.post === undefined || candidate.post === version.post);
}

/** `<2.0` leaves 2.0rc1 out, unless it names a pre-release itself. */
function isBefore(candidate: Version, version: Version): boolean {
  if (compareVersions(candidate, version) >= 0) return false;
  return isPrerelease(version) || !isPrerelease(candidate) || !sameBase(candidate, version);
}

/** `>2.0` leaves 2.0.post1 and 2.0+local out. */
function isAfter(candidate: Version, version: Version): boolean {
  if (compareVersions(candidate, version) <= 0) return false;
  if (!sameBase(candidate, version)) return true;
  return !candidate.local && (candidate.post === undefined || version.post !== undefined);
}

/** `~=1.4.2` is `>=1.4.2, ==1.4.*`. */
function isCompatible(candidate: Version, version: Version): boolean {
  const { epoch } = version;
  const head: Version = { text: '', epoch, release: version.release.slice(0, -1) };
  return compareVersions(publicPart(candidate), version) >= 0 && hasPrefix(candidate, head);
}
