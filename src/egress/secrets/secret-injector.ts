import { LRUCache } from 'lru-cache';
import { GloveboxError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { type Binding, bareHost, hostOf, placeOf } from '../../secrets/binding.ts';
import type { BoundSecret, Secrets } from '../../secrets/secrets.ts';
import { type Injection, InjectionFailure, type Injector } from '../injector.ts';
import { type FilledPlace, SecretInjection } from './secret-injection.ts';

/** Hosts of owners whose injection is remembered. */
const MOST_REMEMBERED = 500;

/** A secret and the place that it fills in requests to a host. */
interface Match {
  readonly secret: BoundSecret;
  readonly binding: Binding;
}

/** Adds the secrets of a state directory to requests. A change of them counts from the next request on. */
export class SecretInjector implements Injector {
  readonly #secrets: Secrets;
  readonly #log: Log;
  readonly #known = new LRUCache<string, { readonly injection: Injection | undefined }>({ max: MOST_REMEMBERED });
  #version = '';

  constructor(secrets: Secrets, log: Log) {
    this.#secrets = secrets;
    this.#log = log;
  }

  for(owner: string, host: string, port: number): Injection | undefined {
    return this.#explained(host, () => {
      this.#forgetOld();
      const key = JSON.stringify([owner, bareHost(host), port]);
      const known = this.#known.get(key) ?? { injection: this.#make(owner, bareHost(host), port) };
      this.#known.set(key, known);
      return known.injection;
    });
  }

  addresses(owner: string): readonly string[] {
    return this.#explained('', () => {
      const bindings = this.#secrets.boundOf(owner).flatMap((secret) => secret.bindings);
      return [...new Set(bindings.map((binding) => hostOf(binding).address))];
    });
  }

  #forgetOld(): void {
    const { version } = this.#secrets;
    if (version !== this.#version) this.#known.clear();
    this.#version = version;
  }

  #make(owner: string, host: string, port: number): Injection | undefined {
    const places = new Map<string, Match>();
    for (const match of this.#matches(owner, host, port)) {
      const place = placeOf(match.binding);
      // The owner's own come first.
      if (!places.has(place)) places.set(place, match);
    }
    const [first, ...others] = places.values();
    if (!first) return undefined;
    const { isPlain, port: outside } = hostOf(first.binding);
    // What one secret may do without TLS, another may not.
    const sent = [first, ...others].filter(({ binding }) => hostOf(binding).isPlain === isPlain);
    const filled = sent.map(({ secret: { name, open, earlier }, binding }): FilledPlace => {
      return { name, binding, value: open(), earlier };
    });
    return new SecretInjection({ host, isPlain, port: outside, filled });
  }

  #matches(owner: string, host: string, port: number): Match[] {
    const all = this.#secrets
      .boundOf(owner)
      .flatMap((secret) => secret.bindings.map((binding) => ({ secret, binding })));
    const matches = all.filter(({ binding }) => {
      const bound = hostOf(binding);
      return bound.host === host && bound.ports.includes(port);
    });
    // With TLS, if any of them asks for it.
    return matches.toSorted((a, b) => Number(hostOf(a.binding).isPlain) - Number(hostOf(b.binding).isPlain));
  }

  #explained<T>(host: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof GloveboxError)) throw error;
      this.#log.warn('secrets for requests of code cannot be read', { host, error });
      throw new InjectionFailure('The secrets of this server cannot be read. Its log tells the operator why.');
    }
  }
}
