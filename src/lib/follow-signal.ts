import { Disposables } from './disposables.ts';

/**
 * Makes a signal that follows others until it is disposed of: `using call = followSignal(…)`.
 * Transports also abort their signals after the normal end of a call. The new signal does not follow them then, so
 * that nothing that outlives the call, such as an interpreter that is used again, is aborted.
 */
export function followSignal(...sources: readonly AbortSignal[]): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const stack = new Disposables();
  for (const source of sources) {
    const abort = () => controller.abort(source.reason);
    if (source.aborted) abort();
    source.addEventListener('abort', abort, { once: true });
    stack.defer(() => source.removeEventListener('abort', abort));
  }
  return { signal: controller.signal, [Symbol.dispose]: () => stack[Symbol.dispose]() };
}
