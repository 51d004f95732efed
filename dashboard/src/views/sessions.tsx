import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import { type ApiError, describeError } from '../api/error.ts';
import type { Session, Snapshot } from '../api/types.ts';
import { download } from '../lib/download.ts';
import { formatAge, formatBytes, formatDuration, formatTime } from '../lib/format.ts';
import { goTo, linkTo } from '../lib/route.ts';
import { usePolled } from '../lib/use-polled.ts';
import { ConfirmButton } from '../parts/confirm-button.tsx';
import { Empty, ErrorNotice, Notice } from '../parts/notice.tsx';
import { SessionDetails } from '../parts/session-details.tsx';

const POLL_MS = 3000;

export function Sessions() {
  const [said, setSaid] = useState<string>();
  const [failed, setFailed] = useState<ApiError>();
  const { value, error, refresh } = usePolled(
    async (signal) => ({
      ...(await call<{ sessions: Session[] }>('/sessions', { signal })),
      ...(await call<{ snapshots: Snapshot[] }>('/snapshots', { signal })),
    }),
    POLL_MS,
  );
  const attempt = async (work: () => Promise<string | undefined>) => {
    setFailed(undefined);
    setSaid(undefined);
    try {
      setSaid(await work());
    } catch (thrown) {
      setFailed(describeError(thrown));
    }
    refresh();
  };
  return (
    <>
      <h1>Sessions</h1>
      {error && <ErrorNotice error={error} onRetry={refresh} />}
      {failed && <ErrorNotice error={failed} />}
      {said !== undefined && <Notice>{said}</Notice>}
      {value?.sessions.length === 0 && (
        <Empty title="You have no sessions.">
          <p>
            Run something in the <a href={linkTo('playground')}>playground</a>, or call <code>POST /sessions</code>.
          </p>
        </Empty>
      )}
      {value && value.sessions.length > 0 && <SessionTable sessions={value.sessions} attempt={attempt} />}
      {value && value.snapshots.length > 0 && <SnapshotTable snapshots={value.snapshots} attempt={attempt} />}
    </>
  );
}

type Attempt = (work: () => Promise<string | undefined>) => Promise<void>;

function SessionTable({ sessions, attempt }: { readonly sessions: readonly Session[]; readonly attempt: Attempt }) {
  return (
    <table class="cards">
      <caption class="unseen">Your sessions</caption>
      <thead>
        <tr>
          <th scope="col">Session</th>
          <th scope="col">Owner</th>
          <th scope="col">State</th>
          <th scope="col">Processor</th>
          <th scope="col">Memory</th>
          <th scope="col">Disk</th>
          <th scope="col">Age</th>
          <th scope="col">Contexts</th>
          <th scope="col">Actions</th>
        </tr>
      </thead>
      <tbody>
        {sessions.map((session) => (
          <SessionRow key={session.session_id} session={session} attempt={attempt} />
        ))}
      </tbody>
    </table>
  );
}

function SessionRow({ session, attempt }: { readonly session: Session; readonly attempt: Attempt }) {
  const { session_id: id, state, owner, usage, created_at, last_used_at, expires_at, contexts, running } = session;
  return (
    <tr>
      <th scope="row" data-label="Session">
        <a href={linkTo('playground', id)} class="mono">
          {id}
        </a>
        <SessionDetails session={session} />
      </th>
      <td data-label="Owner">{owner}</td>
      <td data-label="State">{running > 0 ? `${state}, ${running} running` : state}</td>
      <td data-label="Processor">{formatDuration(usage.cpu_ms)}</td>
      <td data-label="Memory">{usage.peak_memory_bytes === 0 ? '–' : `≤ ${formatBytes(usage.peak_memory_bytes)}`}</td>
      <td data-label="Disk">{usage.saved_bytes === undefined ? '–' : formatBytes(usage.saved_bytes)}</td>
      <td
        data-label="Age"
        title={`Created ${formatTime(created_at)}, ends ${formatTime(expires_at)} if it is not used`}
      >
        <div>made {formatAge(created_at)}</div>
        <div class="quiet">used {formatAge(last_used_at)}</div>
      </td>
      <td data-label="Contexts">{contexts.length === 0 ? '–' : contexts.join(', ')}</td>
      <td data-label="Actions">
        <SessionActions id={id} attempt={attempt} />
      </td>
    </tr>
  );
}

function SessionActions({ id, attempt }: { readonly id: string; readonly attempt: Attempt }) {
  const path = `/sessions/${encodeURIComponent(id)}`;
  const snapshot = async () => {
    const { snapshot_id, size } = await call<Snapshot>(`${path}/snapshots`, { method: 'POST', body: {} });
    return `Made the snapshot ${snapshot_id} of ${id} (${formatBytes(size)}).`;
  };
  const fork = async () => {
    const { session_id } = await call<Session>(`${path}/fork`, { method: 'POST', body: {} });
    return `Made ${session_id}, a copy of ${id}.`;
  };
  const exportTar = async () => {
    await download(`${path}/archive`, `${id}.tar`);
    return `Exported ${id}. POST /sessions takes the file.`;
  };
  const close = async () => {
    await call(path, { method: 'DELETE' });
    return `Closed ${id}.`;
  };
  const actions = [
    ['Snapshot', snapshot],
    ['Fork', fork],
    ['Export', exportTar],
  ] as const;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form
    <div class="actions" role="group" aria-label={`Actions of ${id}`}>
      <button type="button" class="secondary small" onClick={() => goTo('terminals', id)}>
        Terminal
      </button>
      {actions.map(([label, work]) => (
        <button type="button" class="secondary small" key={label} onClick={() => void attempt(work)}>
          {label}
        </button>
      ))}
      <ConfirmButton label="Close" question="Close and delete its files?" onConfirm={() => void attempt(close)} />
    </div>
  );
}

function SnapshotTable({ snapshots, attempt }: { readonly snapshots: readonly Snapshot[]; readonly attempt: Attempt }) {
  const open = async (id: string) => {
    const { session_id } = await call<Session>('/sessions', { method: 'POST', body: { from_snapshot: id } });
    goTo('playground', session_id);
    return undefined;
  };
  const remove = async (id: string) => {
    await call(`/snapshots/${id}`, { method: 'DELETE' });
    return `Deleted ${id}.`;
  };
  return (
    <>
      <h2>Snapshots</h2>
      <table class="cards">
        <caption class="unseen">Your snapshots</caption>
        <thead>
          <tr>
            <th scope="col">Snapshot</th>
            <th scope="col">Of</th>
            <th scope="col">Size</th>
            <th scope="col">Age</th>
            <th scope="col">Actions</th>
          </tr>
        </thead>
        <tbody>
          {snapshots.map(({ snapshot_id: id, session_id, size, created_at }) => (
            <tr key={id}>
              <th scope="row" data-label="Snapshot" class="mono">
                {id}
              </th>
              <td data-label="Of" class="mono">
                {session_id}
              </td>
              <td data-label="Size">{formatBytes(size)}</td>
              <td data-label="Age">{formatAge(created_at)}</td>
              <td data-label="Actions">
                {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form */}
                <div class="actions" role="group" aria-label={`Actions of ${id}`}>
                  <button type="button" class="secondary small" onClick={() => void attempt(() => open(id))}>
                    Open as a session
                  </button>
                  <ConfirmButton
                    label="Delete"
                    question="Delete it?"
                    onConfirm={() => void attempt(() => remove(id))}
                  />
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
