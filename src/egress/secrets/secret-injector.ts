import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { type Binding, type BoundHost, bareHost, hostOf, placeOf } from '../../secrets/binding.ts';
import type { BoundSecret, Secrets } from '../../secrets/secrets.ts';
import { type Injection, InjectionFailure, type Injector, type SecretAddress } from '../injector.ts';
import { type FilledPlace, SecretInjection } from './secret-injection.ts';

/** Hosts of owners whose injection is remembered. */
const MOST_REMEMBERED = 500;

/** A secret and the place that it fills in requests to a host. */
interface Match {
  readonly secret: BoundSecret;
  readonly binding: Binding;
  readonly bound: BoundHost;
}

/** Adds the secrets of a state directory to requests. A change of them counts from the next request on. */
export class SecretInjector implements Injector {
  readonly #secrets: Secrets;
  readonly #log: Log;
  readonly #known = new LRUCache<string, Injection>({ max: MOST_REMEMBERED });
  /** What each host gets, of all owners. */
  #hosts: ReadonlyMap<string, readonly Match[]> = new Map();
  #version: string | undefined;
  /** What the log was told since the secrets have changed. Code can make any number of requests. */
  readonly #told = new Set<string>();

  constructor(secrets: Secrets, log: Log) {
    this.#secrets = secrets;
    this.#log = log;
  }

  for(owner: string, host: string, port: number): Injection | undefined {
    return this.#explained(host, () => {
      this.#refresh();
      const name = bareHost(host);
      const matches = matchesOf(this.#hosts.get(name) ?? [], owner, port);
      if (matches.length === 0) return undefined;
      const key = JSON.stringify([owner, name, port]);
      const injection = this.#known.get(key) ?? inject(name, matches);
      this.#known.set(key, injection);
      return injection;
    });
  }

  addresses(owner: string): readonly SecretAddress[] {
    return this.#explained('', () => {
      this.#refresh();
      const all = [...this.#hosts.values()].flat().filter(({ secret }) => isFor(secret, owner));
      return [...new Map(all.map(({ bound }) => [bound.address, bound])).values()];
    });
  }

  #refresh(): void {
    const { version, bound } = this.#secrets.current;
    if (version === this.#version) return;
    const hosts = new Map<string, Match[]>();
    for (const secret of bound) {
      for (const binding of secret.bindings) {
        const match = { secret, binding, bound: hostOf(binding) };
        hosts.set(match.bound.host, [...(hosts.get(match.bound.host) ?? []), match]);
      }
    }
    this.#known.clear();
    this.#told.clear();
    this.#hosts = hosts;
    this.#version = version;
  }

  #explained<T>(host: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof GloveboxError)) throw error;
      if (!this.#told.has(error.message))
        this.#log.warn('secrets for requests of code cannot be read', { host, error, hint: error.hint });
      this.#told.add(error.message);
      throw new InjectionFailure('The secrets of this server cannot be read. Its log tells the operator why.');
    }
  }
}

function isFor({ owner }: BoundSecret, whose: string): boolean {
  return owner === undefined || owner === whose;
}

/** What requests of an owner get: with TLS before without, and then the owner's own before what is shared. */
function matchesOf(ofHost: readonly Match[], owner: string, port: number): Match[] {
  const rank = ({ secret, bound }: Match) => Number(bound.isPlain) * 2 + Number(secret.owner === undefined);
  return ofHost
    .filter(({ secret, bound }) => isFor(secret, owner) && bound.ports.includes(port))
    .toSorted((a, b) => rank(a) - rank(b));
}

function inject(host: string, matches: readonly Match[]): Injection {
  const places = new Map<string, Match>();
  for (const match of matches) {
    const place = placeOf(match.binding);
    if (!places.has(place)) places.set(place, match);
  }
  const { isPlain = false, port = 0 } = matches[0]?.bound ?? {};
  // What one secret may do without TLS, another may not.
  const sent = [...places.values()].filter(({ bound }) => bound.isPlain === isPlain);
  const filled = sent.map(({ secret, binding }): FilledPlace => {
    return { name: secret.name, binding, value: secret.open(), earlier: secret.earlier };
  });
  return new SecretInjection({ host, isPlain, port, filled });
}
