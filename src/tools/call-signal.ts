/**
 * A signal that follows another for as long as a call lasts: `using call = followSignal(…)`.
 * Transports abort theirs after a normal end as well; this one stays quiet then, so that nothing
 * which outlives the call, such as an interpreter that is used again, is aborted.
 */
export function followSignal(source: AbortSignal): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const abort = () => controller.abort(source.reason);
  if (source.aborted) abort();
  source.addEventListener('abort', abort, { once: true });
  return { signal: controller.signal, [Symbol.dispose]: () => source.removeEventListener('abort', abort) };
}
