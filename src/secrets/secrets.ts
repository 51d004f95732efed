import { statSync } from 'node:fs';
import type { Binding } from './binding.ts';
import {
  keyOf,
  keyPath,
  openSecret,
  readSecrets,
  type SecretsFile,
  type SecretsPlace,
  type StoredSecret,
  secretsPath,
  unusable,
} from './file.ts';
import type { SecretsKey } from './key.ts';

/** A secret that requests get, and the hosts of these. */
export interface BoundSecret {
  readonly name: string;
  /** Undefined for a shared one. */
  readonly owner: string | undefined;
  readonly bindings: readonly Binding[];
  /** Decrypts its value. @throws GloveboxError `invalid_input` if that cannot be done */
  readonly open: () => string;
  /** Values that it had earlier, since the start, which may still be valid. */
  readonly earlier: readonly string[];
}

/** Secrets of a state directory, as they are at the moment. Only their names are ever shown. */
export class Secrets {
  readonly #place: SecretsPlace;
  #file: SecretsFile = { secrets: [] };
  #version = '';
  /** Key of the file, once it was needed. */
  #key: SecretsKey | undefined;
  #values: readonly string[] = [];
  /** Values since the start, by secret. */
  readonly #seen = new Map<string, Set<string>>();

  constructor(place: SecretsPlace) {
    this.#place = place;
  }

  /** Another text once the secrets are others. @throws GloveboxError `invalid_input` for a damaged file */
  get version(): string {
    this.#refresh();
    return this.#version;
  }

  /**
   * Value of a secret: that of an owner, who then has no use of a shared one, or a shared one.
   * @throws GloveboxError `invalid_input` if it cannot be read
   */
  valueOf(name: string, owner?: string): string | undefined {
    this.#refresh();
    const secret = this.#file.secrets.find((known) => known.name === name && known.owner === owner);
    return secret && this.#open(secret);
  }

  /**
   * All values since the start, with which to look for them in what goes into a sandbox: one that was replaced may still
   * be valid. Another array once there are more.
   */
  get values(): readonly string[] {
    this.#refresh();
    return this.#values;
  }

  /** Secrets that the requests of an owner get: their own first, then shared ones. */
  boundOf(owner: string): readonly BoundSecret[] {
    this.#refresh();
    const bound = this.#file.secrets.filter(({ bindings }) => bindings.length > 0);
    const own = bound.filter((secret) => secret.owner === owner);
    return [...own, ...bound.filter((secret) => secret.owner === undefined)].map((secret) => ({
      name: secret.name,
      owner: secret.owner,
      bindings: secret.bindings,
      open: () => this.#open(secret),
      earlier: [...(this.#seen.get(seenKey(secret)) ?? [])],
    }));
  }

  #open(secret: StoredSecret): string {
    if (typeof secret.value !== 'string') this.#key ??= keyOf(this.#place, this.#file);
    return openSecret(this.#place, this.#key, secret);
  }

  #refresh(): void {
    const version = versionOf(secretsPath(this.#place)) + versionOf(keyPath(this.#place));
    if (version === this.#version) return;
    this.#file = readSecrets(this.#place);
    this.#version = version;
    this.#key = undefined;
    for (const secret of this.#file.secrets) this.#remember(secret);
    const all = [...this.#seen.values()].flatMap((values) => [...values]);
    this.#values = [...new Set([...this.#values, ...all])];
  }

  /** One that cannot be decrypted is never sent, and need not be looked for. */
  #remember(secret: StoredSecret): void {
    const seen = this.#seen.get(seenKey(secret)) ?? new Set();
    try {
      seen.add(this.#open(secret));
      this.#seen.set(seenKey(secret), seen);
    } catch {}
  }
}

function seenKey({ name, owner }: StoredSecret): string {
  return JSON.stringify([name, owner ?? null]);
}

function versionOf(path: string): string {
  try {
    const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
    return stat ? `${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs};` : ';';
  } catch (error) {
    throw unusable(path, (error as NodeJS.ErrnoException).code ?? 'it cannot be looked at');
  }
}
