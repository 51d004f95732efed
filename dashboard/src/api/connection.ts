import { signal } from '@preact/signals';

/** Whether the server answered last time. */
export const isConnected = signal(true);

const RETRY_MS = 1500;
let retrying = false;

/** Says that a call got no answer, and asks until there is one again. */
export function lostConnection(): void {
  isConnected.value = false;
  if (retrying) return;
  retrying = true;
  const again = async () => {
    try {
      await fetch(new URL('health', document.baseURI), { cache: 'no-store' });
      retrying = false;
      isConnected.value = true;
    } catch {
      setTimeout(again, RETRY_MS);
    }
  };
  setTimeout(again, RETRY_MS);
}
