/** Bytes of input that may wait. Then whoever types has to wait, too. */
const FULL_BYTES = 256 * 1024;
/** Kinds of frames in a terminal's standard input, as `program/terminal.py` reads them. */
const INPUT = 0;
const RESIZE = 1;

/** What is typed into a terminal, and changes of its size, on their way to its program. */
export class InputQueue {
  #waiting: Buffer[] = [];
  #bytes = 0;
  /** Frame of the last change of the size. */
  #size: Buffer | undefined;
  #closed = false;
  #wake = (): void => {};
  #drained: PromiseWithResolvers<void> | undefined;

  /** Adds input. Returns a promise if the queue is full, which resolves when there is room again. */
  type(data: Buffer): Promise<void> | undefined {
    const header = Buffer.allocUnsafe(5);
    header.writeUInt8(INPUT);
    header.writeUInt32BE(data.length, 1);
    return this.#add(header, data);
  }

  resize(rows: number, cols: number): void {
    const frame = Buffer.allocUnsafe(5);
    frame.writeUInt8(RESIZE);
    frame.writeUInt16BE(rows, 1);
    frame.writeUInt16BE(cols, 3);
    // Only the last of several sizes counts: those that follow each other without end take no more room than one.
    if (this.#size && this.#waiting.at(-1) === this.#size) this.#waiting[this.#waiting.length - 1] = frame;
    else void this.#add(frame);
    this.#size = frame;
  }

  /** Drops what waits, and takes no more. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.#bytes = 0;
    this.#drained?.resolve();
    this.#wake();
  }

  /** The frames, to the end. */
  async *frames(): AsyncGenerator<Buffer, void, undefined> {
    while (!this.#closed) {
      if (this.#waiting.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const [first = Buffer.alloc(0), ...rest] = this.#waiting;
      const all = rest.length > 0 ? Buffer.concat(this.#waiting) : first;
      this.#waiting = [];
      this.#bytes = 0;
      this.#drained?.resolve();
      this.#drained = undefined;
      yield all;
    }
  }

  #add(...parts: readonly Buffer[]): Promise<void> | undefined {
    if (this.#closed) return undefined;
    this.#waiting.push(...parts);
    for (const { length } of parts) this.#bytes += length;
    this.#wake();
    if (this.#bytes < FULL_BYTES) return undefined;
    this.#drained ??= Promise.withResolvers<void>();
    return this.#drained.promise;
  }
}
