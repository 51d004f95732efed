import { signal } from '@preact/signals';

/** `sessionStorage` ends with its tab, and no other tab sees it. */
const STORED = 'glovebox.key';

export type Access = 'unknown' | 'open' | 'needs-key';

/** Whether calls are answered. */
export const access = signal<Access>('unknown');
/** Why the last key is of no use any more. */
export const refusal = signal<string | undefined>(undefined);
/** Whether the page was opened with a key in its address. */
export const keyInAddress = signal(false);

let current = sessionStorage.getItem(STORED) ?? undefined;

export function currentKey(): string | undefined {
  return current;
}

export function useKey(key: string): void {
  current = key;
  sessionStorage.setItem(STORED, key);
  refusal.value = undefined;
}

export function forgetKey(why?: string): void {
  current = undefined;
  sessionStorage.removeItem(STORED);
  refusal.value = why;
  access.value = 'needs-key';
}

export function authorization(): Record<string, string> {
  return current === undefined ? {} : { Authorization: `Bearer ${current}` };
}

/** The answer to a call was 401. */
export function refused(): void {
  forgetKey(
    current === undefined
      ? undefined
      : 'The server does not accept this key: it is wrong, has expired, or was revoked.',
  );
}

const NAMES = /([?&#](?:key|api_?key|token|access_token)=)[^&#]*/i;

/** Takes a key out of the address, where histories, logs and screens would show it. It is not used. */
export function clearAddress(): void {
  const { href } = location;
  if (!NAMES.test(href)) return;
  keyInAddress.value = true;
  const url = new URL(href);
  const names = [...url.searchParams.keys()].filter((name) => /^(key|api_?key|token|access_token)$/i.test(name));
  for (const name of names) url.searchParams.delete(name);
  if (NAMES.test(url.hash)) url.hash = '';
  history.replaceState(null, '', url);
}
