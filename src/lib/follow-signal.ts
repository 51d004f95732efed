import { Disposables } from './disposables.ts';

/**
 * A signal that follows others for as long as a call lasts: `using call = followSignal(…)`.
 * Transports abort theirs after a normal end as well; this one stays quiet then, so that nothing
 * which outlives the call, such as an interpreter that is used again, is aborted.
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
