import type { Status as Kind } from '../api/types.ts';

const WORDS: Readonly<Record<Kind, string>> = {
  queued: 'waiting',
  running: 'running',
  ok: 'done',
  error: 'failed',
  timeout: 'out of time',
  cancelled: 'stopped',
  out_of_memory: 'out of memory',
  crashed: 'crashed',
};

/** How an execution stands, in a word and a colour. */
export function StatusWord({ status }: { readonly status: Kind }) {
  const look =
    status === 'ok'
      ? 'fine'
      : status === 'running' || status === 'queued' || status === 'cancelled'
        ? 'quiet'
        : 'failed';
  return <span class={`status ${look}`}>{WORDS[status] ?? status}</span>;
}
