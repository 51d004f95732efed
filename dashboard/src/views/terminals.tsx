import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import { type ApiError, describeError } from '../api/error.ts';
import { type ListedTerminal, listTerminals } from '../api/terminal-socket.ts';
import type { Session } from '../api/types.ts';
import { goTo, linkTo } from '../lib/route.ts';
import { usePolled } from '../lib/use-polled.ts';
import { Empty, ErrorNotice } from '../parts/notice.tsx';
import { TerminalScreen } from '../parts/terminal-screen.tsx';

const POLL_MS = 5000;

/** The terminals of one session, one of which is shown. */
export function Terminals({ session }: { readonly session: string | undefined }) {
  const [failed, setFailed] = useState<ApiError>();
  const open = async () => {
    setFailed(undefined);
    try {
      const { session_id: id } = await call<Session>('/sessions', { method: 'POST', body: {} });
      await call(`/sessions/${id}/terminals`, { method: 'POST', body: {} });
      goTo('terminals', id);
    } catch (thrown) {
      setFailed(describeError(thrown));
    }
  };
  return (
    <>
      <h1>Terminals</h1>
      {failed && <ErrorNotice error={failed} />}
      {session === undefined ? (
        <Empty title="No session is open.">
          <p>
            Choose one under <a href={linkTo('sessions')}>Sessions</a>, or open a new one.
          </p>
          <button type="button" onClick={() => void open()}>
            Open a terminal in a new session
          </button>
        </Empty>
      ) : (
        <SessionTerminals key={session} session={session} onFailure={setFailed} />
      )}
    </>
  );
}

interface Props {
  readonly session: string;
  readonly onFailure: (error: ApiError | undefined) => void;
}

function SessionTerminals({ session, onFailure }: Props) {
  const path = `/sessions/${encodeURIComponent(session)}/terminals`;
  const [chosen, setChosen] = useState<string>();
  const { value, error, refresh } = usePolled(async (signal) => await listTerminals(session, signal), POLL_MS);
  const attempt = async (work: () => Promise<void>) => {
    onFailure(undefined);
    try {
      await work();
    } catch (thrown) {
      onFailure(describeError(thrown));
    }
    refresh();
  };
  const open = () =>
    attempt(async () => {
      const { terminal_id: id } = await call<ListedTerminal>(path, { method: 'POST', body: {} });
      setChosen(id);
    });
  const running = value?.filter(({ running: runs }) => runs) ?? [];
  const shown = chosen ?? running.at(-1)?.terminal_id;
  const end = () => attempt(() => call(`${path}/${shown}`, { method: 'DELETE' }));
  return (
    <>
      {error && <ErrorNotice error={error} onRetry={refresh} />}
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset would be a form */}
      <div class="actions" role="group" aria-label={`Terminals of ${session}`}>
        <a href={linkTo('playground', session)} class="mono">
          {session}
        </a>
        {running.map(({ terminal_id: id }, at) => (
          <button
            type="button"
            key={id}
            class={id === shown ? 'small' : 'secondary small'}
            aria-pressed={id === shown}
            onClick={() => setChosen(id)}
          >
            Terminal {at + 1}
          </button>
        ))}
        <button type="button" class="secondary small" onClick={() => void open()}>
          New terminal
        </button>
        {running.some(({ terminal_id: id }) => id === shown) && (
          <button type="button" class="secondary small" onClick={() => void end()}>
            End this terminal
          </button>
        )}
      </div>
      {shown === undefined ? (
        value && <Empty title="No terminal is open in this session." />
      ) : (
        <TerminalScreen key={shown} session={session} terminal={shown} onEnd={refresh} />
      )}
    </>
  );
}
