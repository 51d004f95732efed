import { GloveboxError } from '../../errors.ts';
import { nearest } from '../../lib/nearest.ts';
import { isAddress } from './host-name.ts';
import { coversHosts, matchesHost, type Pattern, parsePatterns, portsOf } from './pattern.ts';

/** Who narrows what code may reach. */
export type LevelName = 'operator' | 'key' | 'session' | 'call';

/** Patterns of one of those. A host and port must be allowed by every level. */
export interface Level {
  readonly name: LevelName;
  readonly patterns: readonly Pattern[];
}

/** What the policy says of a host and port. */
export type Decision =
  | {
      readonly allowed: true;
      /** The operator's pattern, as it is written. */
      readonly rule: string;
      /** Whether plain requests go out over TLS. */
      readonly isTls: boolean;
      /** Whether a pattern names the address itself, so that it may be a private one. */
      readonly isNamedAddress: boolean;
    }
  | { readonly allowed: false; readonly rule: 'host' | 'port'; readonly level: LevelName; readonly ports: string };

/**
 * Lists of patterns of an owner's keys, which all must allow a host. Undefined if the owner has no valid key: then nothing
 * is allowed.
 */
export type WebOfOwner = (owner: string) => readonly (readonly string[])[] | undefined;

/** What code may reach: of the operator, and of the keys of its owner. */
export class WebPolicy {
  readonly #operator: Level;
  readonly #ofOwner: WebOfOwner;
  readonly #ofKeys = new WeakMap<readonly string[], Level>();

  /** @throws GloveboxError `invalid_input` for a text that is no pattern */
  constructor(patterns: readonly string[], ofOwner: WebOfOwner = () => []) {
    this.#operator = { name: 'operator', patterns: parsePatterns(patterns) };
    this.#ofOwner = ofOwner;
  }

  get isOn(): boolean {
    return this.#operator.patterns.length > 0;
  }

  /** The levels of an owner, as they are now. */
  levelsOf(owner: string): readonly Level[] {
    const keys = this.#ofOwner(owner) ?? [[]];
    return [this.#operator, ...keys.map((texts) => this.#ofKey(texts))];
  }

  #ofKey(texts: readonly string[]): Level {
    const level = this.#ofKeys.get(texts) ?? { name: 'key', patterns: parsePatterns(texts) };
    this.#ofKeys.set(texts, level);
    return level;
  }

  /** Patterns that an owner may reach. */
  reachOf(owner: string): readonly Pattern[] {
    return this.levelsOf(owner)
      .map(({ patterns }) => patterns)
      .reduce((outer, inner) => [
        ...inner.filter((pattern) => outer.some((other) => coversHosts(other, pattern))),
        ...outer.filter(
          (pattern) => !inner.some(({ text }) => text === pattern.text) && inner.some((o) => coversHosts(o, pattern)),
        ),
      ]);
  }
}

/** Decides on a host, in the form of `readHost`, and a port. */
export function decide(levels: readonly Level[], host: string, port: number): Decision {
  let rule = '';
  let isTls = false;
  let isNamedAddress = false;
  for (const level of levels) {
    const ofHost = level.patterns.filter((pattern) => matchesHost(pattern, host));
    if (ofHost.length === 0) return { allowed: false, rule: 'host', level: level.name, ports: '' };
    const matching = ofHost.find((pattern) => hasPort(pattern, level, port));
    if (!matching) return { allowed: false, rule: 'port', level: level.name, ports: listPorts(ofHost, level) };
    if (level.name === 'operator') {
      rule = matching.text;
      isNamedAddress = isAddress(host);
    }
    isTls ||= ofHost.some((pattern) => pattern.isTls && hasPort(pattern, level, port));
  }
  return { allowed: true, rule, isTls, isNamedAddress };
}

/**
 * Checks that patterns only narrow what the levels above them allow.
 * @throws GloveboxError `invalid_input` for the first one that does not
 */
export function checkCovered(patterns: readonly Pattern[], above: readonly Level[]): void {
  for (const pattern of patterns) {
    for (const level of above) if (!isCovered(pattern, level)) throw notCovered(pattern, level);
  }
}

function hasPort(pattern: Pattern, { name }: Level, port: number): boolean {
  const ports = portsOf(pattern, name === 'operator' ? 'web' : 'any');
  return ports === 'any' || ports.includes(port);
}

function listPorts(patterns: readonly Pattern[], { name }: Level): string {
  const ports = patterns.flatMap<number | 'any'>((pattern) => portsOf(pattern, name === 'operator' ? 'web' : 'any'));
  return [...new Set(ports)].slice(0, 10).join(', ');
}

function isCovered(pattern: Pattern, level: Level): boolean {
  const covering = level.patterns.filter((outer) => coversHosts(outer, pattern));
  if (covering.length === 0) return false;
  if (pattern.ports === undefined) return true;
  const fallback = level.name === 'operator' ? 'web' : 'any';
  const ports = covering.flatMap<number | 'any'>((outer) => portsOf(outer, fallback));
  if (ports.includes('any')) return true;
  return pattern.ports !== 'any' && pattern.ports.every((port) => ports.includes(port));
}

const WHOSE: Readonly<Record<LevelName, readonly [whose: string, hint: string]>> = {
  operator: ['the operator allows', 'The operator names what code may reach in GLOVEBOX_EGRESS.'],
  key: ['the key allows', 'The operator gives a key its hosts: glovebox key new NAME --web PATTERN.'],
  session: ['the session allows', 'A session gets its hosts when it is made, as "web".'],
  call: ['the call allows', 'A call names its hosts as "web".'],
};

function notCovered({ text }: Pattern, { name, patterns }: Level): GloveboxError {
  const [whose, hint] = WHOSE[name];
  const texts = patterns.map((pattern) => pattern.text);
  const meant = nearest(text, texts);
  const all = texts.length > 0 ? `Allowed: ${texts.slice(0, 20).join(', ')}.` : 'Nothing is allowed.';
  return new GloveboxError('invalid_input', `${JSON.stringify(text)} in "web" is more than ${whose}.`, {
    hint: `${meant ? `Did you mean "${meant}"? ` : ''}${all} ${hint}`,
  });
}
