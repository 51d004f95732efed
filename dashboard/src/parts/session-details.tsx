import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { FileEntry, Session, Status } from '../api/types.ts';
import { formatAge, formatBytes } from '../lib/format.ts';
import { usePolled } from '../lib/use-polled.ts';
import { ErrorNotice } from './notice.tsx';
import { StatusWord } from './status.tsx';

interface Background {
  readonly execution_id: string;
  readonly started_at: string;
  readonly status: Status;
  readonly running: boolean;
}

const POLL_MS = 3000;

/** What runs in the background of a session, and how much its files take. */
export function SessionDetails({ session }: { readonly session: Session }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>Background and files</summary>
      {isOpen && <Details session={session} />}
    </details>
  );
}

function Details({ session: { session_id: id, state } }: { readonly session: Session }) {
  const path = `/sessions/${encodeURIComponent(id)}`;
  const { value, error, refresh } = usePolled(
    (signal) => call<{ executions: Background[] }>(`${path}/executions`, { signal }),
    POLL_MS,
    id,
  );
  // Listing wakes a session, so it is done once, and for one that is awake.
  const files = usePolled(
    async (signal) =>
      state === 'active' ? await call<{ files: FileEntry[] }>(`${path}/files?recursive=1`, { signal }) : undefined,
    2 ** 31 - 1,
    `${id}-${state}`,
  );
  const stop = (execution: string) =>
    void call(`/executions/${execution}`, { method: 'DELETE' }).then(refresh, refresh);
  const listed = files.value?.files ?? [];
  const bytes = listed.reduce((sum, { size, type }) => sum + (type === 'file' ? size : 0), 0);
  return (
    <div class="quiet">
      {error && <ErrorNotice error={error} />}
      {files.value && (
        <p>
          {listed.length} files and folders, {formatBytes(bytes)}
        </p>
      )}
      {value?.executions.length === 0 && <p>Nothing has run in the background.</p>}
      <ul class="plain">
        {value?.executions.map(({ execution_id, started_at, status, running }) => (
          <li key={execution_id}>
            <span class="mono">{execution_id}</span> <StatusWord status={status} />, begun {formatAge(started_at)}{' '}
            {running && (
              <button type="button" class="secondary small" onClick={() => stop(execution_id)}>
                Stop
              </button>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}
