import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { call } from '../api/client.ts';
import { currentKey } from '../api/key.ts';
import type { ServerInfo } from '../api/types.ts';

/** What the server said last, and with which key it was asked. */
const latest = signal<{ readonly key: string | undefined; readonly info: ServerInfo } | undefined>(undefined);

/** Asks the server once what it is, and again with another key. */
export function useServerInfo(): ServerInfo | undefined {
  const key = currentKey();
  useEffect(() => {
    if (latest.value && latest.value.key === key) return;
    void call<ServerInfo>('/server').then(
      (info) => {
        latest.value = { key, info };
      },
      () => {},
    );
  }, [key]);
  return latest.value?.key === key ? latest.value?.info : undefined;
}
