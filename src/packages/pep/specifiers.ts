import { compareVersions, isPrerelease, parseVersion, publicPart, type Version } from './version.ts';

const OPERATORS = ['===', '~=', '==', '!=', '<=', '>=', '<', '>'] as const;
type Operator = (typeof OPERATORS)[number];
/** Characters of a part of a requirement that a message quotes. */
const LONGEST_QUOTE = 120;

/** One clause of a version specifier (PEP 440), such as `>=1.26` or `==2.*`. */
export interface Specifier {
  readonly operator: Operator;
  /** Version as it was written, without a trailing `.*`. */
  readonly text: string;
  /** Whether the version ends in `.*`, as in `==2.*` and `!=2.*`. */
  readonly prefix: boolean;
  /** Missing only for `===`, which compares text. */
  readonly version?: Version;
}

/**
 * Reads clauses separated by commas. An empty text gives an empty list, which every version matches.
 * @returns the clauses, or a message about the first one that cannot be read
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
  const quoted = quote(clause);
  if (!operator) {
    return clause.startsWith('=')
      ? `${quoted} has one "="; write ${quote(`=${clause}`)}.`
      : `${quoted} is not a version specifier; write one such as ">=1.2" or "==2.*".`;
  }
  const text = clause.slice(operator.length).trim();
  if (operator === '===') {
    if (text === '') return `${quoted} has no version.`;
    // No name of a file has other characters, so nothing else could match.
    if (!/^[\w.+!~*-]+$/.test(text)) return `${quote(text)} in ${quoted} is not a version.`;
    return { operator, text, prefix: false };
  }
  const prefix = text.endsWith('.*');
  const bare = prefix ? text.slice(0, -2) : text;
  const version = parseVersion(bare);
  if (!version) return `${quote(text)} in ${quoted} is not a version (PEP 440), such as 1.26 or 2.0rc1.`;
  if (prefix && operator !== '==' && operator !== '!=') return `${quoted}: only == and != may end in ".*".`;
  if (prefix && !/^v?[\d.!]+$/i.test(bare)) return `${quoted}: only a plain release may end in ".*".`;
  if (operator === '~=' && version.release.length < 2) return `${quoted} needs at least two numbers, as in "~=1.4".`;
  if (version.local && operator !== '==' && operator !== '!=')
    return `${quoted}: a local version ("+...") needs == or !=.`;
  return { operator, text: bare, prefix, version };
}

/** Quotes a part of a requirement in a message, shortened if it is long. */
export function quote(text: string): string {
  return `"${(text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE - 3)}...` : text).toWellFormed()}"`;
}

/** Whether a version matches every clause. Pre-releases are compared as any other version. */
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

function hasPrefix(candidate: Version, { epoch, release }: Version): boolean {
  return candidate.epoch === epoch && release.every((number, index) => (candidate.release[index] ?? 0n) === number);
}

/** `<2.0` does not match 2.0rc1. `<2.0rc2` does. */
function isBefore(candidate: Version, version: Version): boolean {
  if (compareVersions(candidate, version) >= 0) return false;
  if (isPrerelease(version) || !isPrerelease(candidate)) return true;
  const { epoch, release, pre, post } = candidate;
  const announced: Version = { text: '', epoch, release, ...(post === undefined || pre ? {} : { post }) };
  return compareVersions(announced, version) !== 0;
}

/** `>2.0` does not match 2.0.post1 and 2.0+local, which are builds of version 2.0. */
function isAfter(candidate: Version, version: Version): boolean {
  if (compareVersions(candidate, version) <= 0) return false;
  if (compareVersions(publicPart(candidate), version) === 0) return false;
  const { epoch, release, pre, post } = candidate;
  const corrected: Version = { text: '', epoch, release, ...(pre ? { pre } : {}) };
  return post === undefined || compareVersions(corrected, version) !== 0;
}

/** `~=1.4.2` means `>=1.4.2, ==1.4.*`. */
function isCompatible(candidate: Version, version: Version): boolean {
  const { epoch } = version;
  const head: Version = { text: '', epoch, release: version.release.slice(0, -1) };
  return compareVersions(publicPart(candidate), version) >= 0 && hasPrefix(candidate, head);
}
