import { capacityExceeded } from '../errors.ts';

export interface MemoryLimits {
  /** Memory limit of one sandbox, in MiB. */
  readonly memoryMb: number;
  /** Memory of all sandboxes together, pooled ones included, in MiB. Default: no limit. */
  readonly maxMemoryMb?: number;
  /** Memory of all sandboxes of one owner, in MiB. Default: no limit. */
  readonly maxMemoryMbPerOwner?: number;
}

/** Memory that sandboxes may use: the sum of their limits, not their current use. */
export class MemoryQuota {
  /** Called when memory has become free. */
  onRoom: () => void = () => {};
  /** Returns the number of sandboxes that other control planes have: of an owner, or of all. */
  elsewhere: (owner?: string) => number = () => 0;
  readonly #limits: MemoryLimits;
  readonly #owned = new Map<string, number>();
  #sandboxes = 0;
  #pooled = 0;

  constructor(limits: MemoryLimits) {
    this.#limits = limits;
  }

  /** Memory of the sandboxes that exist or are being started, in MiB. */
  get claimedMb(): number {
    return this.#sandboxes * this.#limits.memoryMb;
  }

  /** Whether the owner has a sandbox. */
  has(owner: string): boolean {
    return this.#owned.has(owner);
  }

  /** Whether the owner may have one more sandbox, which may be a pooled one. */
  fits(owner: string): boolean {
    return this.#fitsOwner(owner) && (this.#pooled > 0 || this.fitsAnother());
  }

  /** Whether the server may start one more sandbox. */
  fitsAnother(): boolean {
    return (
      (this.#sandboxes + this.elsewhere() + 1) * this.#limits.memoryMb <=
      (this.#limits.maxMemoryMb ?? Number.POSITIVE_INFINITY)
    );
  }

  /** Counts a sandbox for an owner. @throws GloveboxError `capacity_exceeded` */
  claim(owner: string, from: 'pool' | 'new'): void {
    if (!this.#fitsOwner(owner) || (from === 'new' && !this.fitsAnother())) throw this.exceeded(owner, 1);
    this.claimAnyway(owner);
    if (from === 'pool') this.leavePool();
  }

  /** Counts a sandbox that exists already, even beyond the limits. */
  claimAnyway(owner: string): void {
    this.#sandboxes += 1;
    this.#owned.set(owner, (this.#owned.get(owner) ?? 0) + 1);
  }

  release(owner: string): void {
    const left = (this.#owned.get(owner) ?? 0) - 1;
    if (left > 0) this.#owned.set(owner, left);
    else this.#owned.delete(owner);
    this.#sandboxes -= 1;
    this.onRoom();
  }

  /** Counts one more sandbox in the pool. Returns false if the memory limit does not allow it. */
  enterPool(): boolean {
    if (!this.fitsAnother()) return false;
    this.#pooled += 1;
    this.#sandboxes += 1;
    return true;
  }

  leavePool(): void {
    this.#pooled -= 1;
    this.#sandboxes -= 1;
  }

  exceeded(owner: string, retryAfterS: number) {
    const { memoryMb, maxMemoryMb, maxMemoryMbPerOwner } = this.#limits;
    const limit = this.#fitsOwner(owner) ? `${maxMemoryMb} MiB in all` : `${maxMemoryMbPerOwner} MiB for one owner`;
    return capacityExceeded(
      `A session takes ${memoryMb} MiB, this server allows ${limit}, and none of yours is idle.`,
      retryAfterS,
      'Close a session that is no longer needed.',
    );
  }

  #fitsOwner(owner: string): boolean {
    const { memoryMb, maxMemoryMbPerOwner = Number.POSITIVE_INFINITY } = this.#limits;
    return ((this.#owned.get(owner) ?? 0) + this.elsewhere(owner) + 1) * memoryMb <= maxMemoryMbPerOwner;
  }
}
