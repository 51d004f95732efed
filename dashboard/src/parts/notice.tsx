import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api/error.ts';
import { visible } from '../lib/visible.ts';

/** Says what is missing, and the next step. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>
        <strong>{title}</strong>
      </p>
      {children}
    </div>
  );
}

/** An error and its next step, read aloud at once. */
export function ErrorNotice({ error, onRetry }: { readonly error: ApiError; readonly onRetry?: () => void }) {
  return (
    <div class="notice error" role="alert">
      <p>
        <strong>{visible(error.message)}</strong> {visible(error.hint)}
      </p>
      {onRetry && (
        <button type="button" class="secondary small" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Something to know, which interrupts nobody. */
export function Notice({ children }: { readonly children: ComponentChildren }) {
  return (
    <div class="notice" role="status">
      {children}
    </div>
  );
}
