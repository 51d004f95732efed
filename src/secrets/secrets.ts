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

/** Values of one secret that are looked for, the newest ones. Some are replaced every hour, for years. */
const MOST_SEEN = 20;

/** Readings of two files, until both are of one state. */
const MOST_READS = 5;

/** A secret that requests get, and the hosts of these. */
export interface BoundSecret {
  readonly name: string;
  /** Undefined for a shared one. */
  readonly owner: string | undefined;
  readonly bindings: readonly Binding[];
  /** Decrypts its value. @throws GloveboxError `invalid_input` if that cannot be done */
  readonly open: () => string;
  /** Values that it has had since the start, the newest of them, which may still be valid. */
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
  #bound: readonly BoundSecret[] = [];
  /** Values since the start, by secret. The last is the newest. */
  readonly #seen = new Map<string, readonly string[]>();

  constructor(place: SecretsPlace) {
    this.#place = place;
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
   * The values since the start, the newest of each secret, with which to look for them in what goes into a sandbox: one
   * that was replaced may still be valid. Another array once they are others.
   */
  get values(): readonly string[] {
    this.#refresh();
    return this.#values;
  }

  /**
   * Secrets that requests get, of all owners, and a text that is another once any secret is another.
   * @throws GloveboxError `invalid_input` for a damaged file
   */
  get current(): { readonly version: string; readonly bound: readonly BoundSecret[] } {
    this.#refresh();
    return { version: this.#version, bound: this.#bound };
  }

  #open(secret: StoredSecret): string {
    if (typeof secret.value !== 'string') this.#key ??= keyOf(this.#place, this.#file);
    return openSecret(this.#place, this.#key, secret);
  }

  #refresh(): void {
    let version = this.#onDisk();
    if (version === this.#version) return;
    this.#read();
    // Its key may have been changed in between: the next time, both are of one state.
    for (let tries = 0; version !== this.#onDisk() && tries < MOST_READS; tries += 1) {
      version = this.#onDisk();
      this.#read();
    }
    this.#version = version;
    for (const secret of this.#file.secrets) this.#remember(secret);
    this.#values = [...new Set([...this.#seen.values()].flat())];
    this.#bound = this.#file.secrets
      .filter(({ bindings }) => bindings.length > 0)
      .map((secret) => this.#toBound(secret));
  }

  /** Changes whenever one of the two files is another. */
  #onDisk(): string {
    return versionOf(secretsPath(this.#place)) + versionOf(keyPath(this.#place));
  }

  /** Reads the file, and its key. One that is lost is an error of those that need it. */
  #read(): void {
    this.#file = readSecrets(this.#place);
    this.#key = undefined;
    if (!this.#file.secrets.some(({ value }) => typeof value !== 'string')) return;
    try {
      this.#key = keyOf(this.#place, this.#file);
    } catch {}
  }

  #toBound(secret: StoredSecret): BoundSecret {
    const earlier = this.#seen.get(seenKey(secret)) ?? [];
    const { name, owner, bindings } = secret;
    // The key may be changed while it is in use.
    const key = this.#key;
    const open = () => (key ? openSecret(this.#place, key, secret) : this.#open(secret));
    return { name, owner, bindings, open, earlier };
  }

  /** One that cannot be decrypted is never sent, and need not be looked for. */
  #remember(secret: StoredSecret): void {
    try {
      const value = this.#open(secret);
      const others = (this.#seen.get(seenKey(secret)) ?? []).filter((seen) => seen !== value);
      this.#seen.set(seenKey(secret), [...others, value].slice(-MOST_SEEN));
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
