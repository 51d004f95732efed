import { signal } from '@preact/signals';

/** Like the key of the page, it ends with its tab. */
const STORED = 'glovebox.approver-key';

/** Key that answers questions of approval, and runs nothing. */
export const approverKey = signal(sessionStorage.getItem(STORED) ?? undefined);
/** Why the last such key is of no use any more. */
export const approverRefusal = signal<string | undefined>(undefined);

export function useApproverKey(key: string): void {
  approverKey.value = key;
  approverRefusal.value = undefined;
  sessionStorage.setItem(STORED, key);
}

export function forgetApproverKey(why?: string): void {
  approverKey.value = undefined;
  approverRefusal.value = why;
  sessionStorage.removeItem(STORED);
}
