/**
 * Makes a signal that follows others until it is disposed of: `using call = followSignal(…)`.
 * Transports also abort their signals after the normal end of a call. The new signal does not follow them then, so
 * that nothing that outlives the call, such as an interpreter that is used again, is aborted.
 */
export function followSignal(...sources: readonly AbortSignal[]): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const follow = ({ target }: Event) => {
    if (target instanceof AbortSignal) controller.abort(target.reason);
  };
  for (const source of sources) {
    if (source.aborted) controller.abort(source.reason);
    else source.addEventListener('abort', follow);
  }
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const source of sources) source.removeEventListener('abort', follow);
    },
  };
}
