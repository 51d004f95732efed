/** A version (PEP 440). Numbers are bigint, because versions made of dates or commits may exceed 2^53. */
export interface Version {
  readonly text: string;
  readonly epoch: bigint;
  readonly release: readonly bigint[];
  readonly pre?: readonly [letter: 'a' | 'b' | 'rc', number: bigint];
  readonly post?: bigint;
  readonly dev?: bigint;
  readonly local?: readonly (bigint | string)[];
}

/** Pattern of a version, from appendix B of PEP 440. */
const PATTERN =
  /^v?(?:(?<epoch>\d+)!)?(?<release>\d+(?:\.\d+)*)(?:[-_.]?(?<pre>alpha|beta|preview|pre|rc|a|b|c)[-_.]?(?<preNumber>\d*))?(?:-(?<postImplicit>\d+)|[-_.]?(?<post>post|rev|r)[-_.]?(?<postNumber>\d*))?(?:[-_.]?(?<dev>dev)[-_.]?(?<devNumber>\d*))?(?:\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$/;
const LETTERS = { a: 'a', alpha: 'a', b: 'b', beta: 'b', c: 'rc', rc: 'rc', pre: 'rc', preview: 'rc' } as const;
/** Characters of a version at most. */
const LONGEST = 256;

/** Reads a version. Undefined when the text is not a version by PEP 440. */
export function parseVersion(text: string): Version | undefined {
  const trimmed = text.trim();
  const groups = trimmed.length <= LONGEST ? PATTERN.exec(trimmed.toLowerCase())?.groups : undefined;
  if (!groups) return undefined;
  const post = groups['postImplicit'] ?? (groups['post'] ? groups['postNumber'] || '0' : undefined);
  return {
    text: trimmed,
    epoch: BigInt(groups['epoch'] ?? 0),
    release: (groups['release'] ?? '').split('.').map(BigInt),
    ...(groups['pre']
      ? { pre: [LETTERS[groups['pre'] as keyof typeof LETTERS], BigInt(groups['preNumber'] || 0)] as const }
      : {}),
    ...(post === undefined ? {} : { post: BigInt(post) }),
    ...(groups['dev'] ? { dev: BigInt(groups['devNumber'] || 0) } : {}),
    ...(groups['local']
      ? { local: groups['local'].split(/[-_.]/).map((part) => (/^\d+$/.test(part) ? BigInt(part) : part)) }
      : {}),
  };
}

export function isPrerelease(version: Version): boolean {
  return version.pre !== undefined || version.dev !== undefined;
}

/** Compares two versions in the order of PEP 440: negative when `left` comes before `right`. */
export function compareVersions(left: Version, right: Version): number {
  return (
    compareNumbers(left.epoch, right.epoch) ||
    compareReleases(left.release, right.release) ||
    comparePre(left, right) ||
    compareNumbers(left.post ?? -1n, right.post ?? -1n) ||
    compareDev(left.dev, right.dev) ||
    compareLocal(left.local, right.local)
  );
}

/** Returns a version without its local part. */
export function publicPart({ local: _, ...version }: Version): Version {
  return version;
}

function compareNumbers(left: bigint, right: bigint): number {
  return left < right ? -1 : Number(left > right);
}

/** 1 and 1.0.0 are the same release. */
function compareReleases(left: readonly bigint[], right: readonly bigint[]): number {
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const order = compareNumbers(left[i] ?? 0n, right[i] ?? 0n);
    if (order) return order;
  }
  return 0;
}

function comparePre(left: Version, right: Version): number {
  const [one, other] = [preRank(left), preRank(right)];
  return one === other ? compareNumbers(left.pre?.[1] ?? 0n, right.pre?.[1] ?? 0n) : one - other;
}

/** Rank of the pre-release part: a development release alone comes first, a final or post release last. */
function preRank({ pre, post, dev }: Version): number {
  if (pre) return { a: 1, b: 2, rc: 3 }[pre[0]];
  return post === undefined && dev !== undefined ? 0 : 4;
}

function compareDev(left: bigint | undefined, right: bigint | undefined): number {
  if (left === undefined || right === undefined) return Number(left === undefined) - Number(right === undefined);
  return compareNumbers(left, right);
}

function compareLocal(left: Version['local'], right: Version['local']): number {
  if (!left || !right) return Number(Boolean(left)) - Number(Boolean(right));
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const order = compareLocalParts(left[i], right[i]);
    if (order) return order;
  }
  return 0;
}

function compareLocalParts(left: bigint | string | undefined, right: bigint | string | undefined): number {
  if (left === undefined || right === undefined) return Number(right === undefined) - Number(left === undefined);
  if (typeof left === 'bigint' && typeof right === 'bigint') return compareNumbers(left, right);
  if (typeof left === 'string' && typeof right === 'string') return left < right ? -1 : Number(left > right);
  return typeof left === 'bigint' ? 1 : -1;
}
