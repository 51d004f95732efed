/** Time until the next attempt to remove a sandbox, in milliseconds, while the engine does not answer. */
const REMOVE_AGAIN_MS = 5000;

/** Removes later what could not be removed: an engine that is down keeps it, and may soon be back. */
export class LaterRemovals {
  readonly #doomed = new Set<string>();

  /**
   * Removes something once more after a while. Does nothing if that is to be done already.
   * @param remove adds it again if it fails
   */
  add(name: string, remove: () => Promise<void>): void {
    if (this.#doomed.has(name)) return;
    this.#doomed.add(name);
    const again = () => {
      this.#doomed.delete(name);
      remove().catch(() => {});
    };
    setTimeout(again, REMOVE_AGAIN_MS).unref();
  }
}
