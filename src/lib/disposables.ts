/**
 * Resources that are disposed of together, the last one first. It is what `DisposableStack` is, which Node has from
 * version 24 on; Glovebox runs on 22 as well.
 */
export class Disposables implements Disposable {
  #resources: Disposable[] = [];

  /** Adds a resource, and returns it. */
  use<T extends Disposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  /** Adds what is to be called at the end. */
  defer(onDispose: () => void): void {
    this.#resources.push({ [Symbol.dispose]: onDispose });
  }

  /** Hands all resources on: this one has none any more. */
  move(): Disposables {
    const moved = new Disposables();
    moved.#resources = this.#resources;
    this.#resources = [];
    return moved;
  }

  /** Disposes of all, also when one fails; the first failure is thrown at the end. */
  [Symbol.dispose](): void {
    let failures: unknown[] | undefined;
    for (let resource = this.#resources.pop(); resource; resource = this.#resources.pop()) {
      try {
        resource[Symbol.dispose]();
      } catch (error) {
        failures ??= [];
        failures.push(error);
      }
    }
    if (failures) throw failures[0];
  }
}

/** Disposes of asynchronous resources, one after the other, in the reverse order. */
export class AsyncDisposables implements AsyncDisposable {
  readonly #resources: AsyncDisposable[] = [];

  /** Adds a resource, and returns it. */
  use<T extends AsyncDisposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  /** Disposes of all, also when one fails; the first failure is thrown at the end. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const resource of this.#resources.splice(0).reverse()) {
      try {
        await resource[Symbol.asyncDispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
