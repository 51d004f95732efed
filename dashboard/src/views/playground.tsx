import { useCallback, useRef, useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import { type ApiError, describeError } from '../api/error.ts';
import type { FileEntry, Session } from '../api/types.ts';
import { type Cell, newCell, saveCells } from '../lib/cells.ts';
import { download } from '../lib/download.ts';
import { goTo, linkTo } from '../lib/route.ts';
import { filePath } from '../lib/upload.ts';
import { useCells } from '../lib/use-cells.ts';
import { usePolled } from '../lib/use-polled.ts';
import { useServerInfo } from '../lib/use-server-info.ts';
import { CellView } from '../parts/cell-view.tsx';
import { FilesBox } from '../parts/files-box.tsx';
import { InstallBox } from '../parts/install-box.tsx';
import { ErrorNotice } from '../parts/notice.tsx';

const POLL_MS = 5000;

interface Listing {
  readonly files: readonly FileEntry[];
  readonly truncated?: boolean;
}

/** Code, output, packages and files of one session. Without one, it is made when it is first needed. */
export function Playground({
  session,
  onSession,
}: {
  readonly session: string | undefined;
  readonly onSession: (id: string) => void;
}) {
  const info = useServerInfo();
  const [error, setError] = useState<ApiError>();
  const opening = useRef<Promise<string> | undefined>(undefined);
  const openSession = useCallback(() => {
    opening.current ??= session === undefined ? createSession(onSession) : Promise.resolve(session);
    // The next run tries again.
    opening.current.catch(() => {
      opening.current = undefined;
    });
    return opening.current;
  }, [session, onSession]);
  const state = useSession(session);
  const listing = useFiles(session, state.session?.state === 'active' && state.session.last_used_at);
  const refresh = () => {
    state.refresh();
    listing.refresh();
  };
  const cells = useCells(session, { openSession, onEnd: refresh });
  const attempt = (work: () => Promise<unknown>) => {
    setError(undefined);
    work().catch((thrown: unknown) => setError(describeError(thrown)));
  };
  const contexts = state.session?.contexts ?? [];
  return (
    <div class="playground">
      <div>
        <Title session={session} state={state} />
        {state.isGone && session !== undefined && <Gone session={session} cells={cells.cells} />}
        {error && <ErrorNotice error={error} />}
        {cells.cells.map((cell, at) => (
          <CellView
            key={cell.id}
            cell={cell}
            number={at + 1}
            run={cells.runs.get(cell.id)}
            contexts={contexts}
            actions={{
              change: (changed) => cells.change(cell.id, changed),
              run: () => void cells.run(cell),
              stop: () => cells.stop(cell.id),
              remove: () => cells.remove(cell.id),
              endContext: () => attempt(() => endContext(session, cell.context).then(refresh)),
              download: (path) =>
                attempt(() => download(filePath(session ?? '', path), path.split('/').at(-1) ?? path)),
            }}
          />
        ))}
        <datalist id="contexts">
          {contexts.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        <button type="button" class="secondary small" onClick={cells.add}>
          Add a cell
        </button>
      </div>
      <aside aria-label="Packages and files of the session">
        <InstallBox openSession={openSession} onInstalled={refresh} />
        <FilesBox
          session={session}
          files={listing.files}
          isTruncated={listing.isTruncated}
          diskMb={info?.limits['disk_mb']}
          openSession={openSession}
          onChange={refresh}
        />
      </aside>
    </div>
  );
}

async function createSession(onSession: (id: string) => void): Promise<string> {
  const { session_id } = await call<Session>('/sessions', { method: 'POST', body: {} });
  onSession(session_id);
  return session_id;
}

async function endContext(session: string | undefined, context: string): Promise<void> {
  if (session === undefined) return;
  await call(`/sessions/${session}/contexts/${encodeURIComponent(context)}`, { method: 'DELETE' });
}

interface SessionState {
  readonly session: Session | undefined;
  readonly isGone: boolean;
  readonly refresh: () => void;
}

/** Looks at the session now and then. That does not keep it from its end, nor wakes it. */
function useSession(id: string | undefined): SessionState {
  const polled = usePolled(
    async (signal) => (id === undefined ? undefined : await call<Session>(`/sessions/${id}`, { signal })),
    POLL_MS,
    id,
  );
  return { session: polled.value, isGone: polled.error?.code === 'session_not_found', refresh: polled.refresh };
}

/** Lists files when the session has been used. A listing keeps a session from its end, so it is not repeated. */
function useFiles(id: string | undefined, lastUse: string | false | undefined) {
  const [round, setRound] = useState(0);
  const polled = usePolled(
    async (signal) =>
      id === undefined || lastUse === false || lastUse === undefined
        ? undefined
        : await call<Listing>(`/sessions/${id}/files?recursive=1`, { signal }),
    2 ** 31 - 1,
    `${id}-${typeof lastUse}-${round}`,
  );
  const known = useRef<Listing | undefined>(undefined);
  if (polled.value) known.current = polled.value;
  const files = (known.current?.files ?? []).filter(({ type }) => type !== 'directory');
  return { files, isTruncated: known.current?.truncated === true, refresh: () => setRound((before) => before + 1) };
}

function Title({ session, state }: { readonly session: string | undefined; readonly state: SessionState }) {
  const [isCopied, setCopied] = useState(false);
  if (session === undefined) {
    return (
      <>
        <h1>Playground</h1>
        <p class="quiet">Run something: a session is made for it. Ctrl+Enter runs a cell.</p>
      </>
    );
  }
  const copy = () => {
    void navigator.clipboard
      ?.writeText(new URL(linkTo('playground', session), document.baseURI).href)
      .then(() => setCopied(true));
  };
  return (
    <>
      <h1>Playground</h1>
      <p class="line">
        <a href={linkTo('playground', session)} class="mono">
          {session}
        </a>
        {state.session && <span class="quiet">{state.session.state}</span>}
        <button type="button" class="secondary small" onClick={copy}>
          {isCopied ? 'Copied' : 'Copy link'}
        </button>
        <a href={linkTo('playground')}>New session</a>
      </p>
    </>
  );
}

function Gone({ session, cells }: { readonly session: string; readonly cells: readonly Cell[] }) {
  const startAgain = () => {
    saveCells(
      undefined,
      cells.map(({ code, context }) => newCell(code, context)),
    );
    goTo('playground');
  };
  return (
    <div class="notice error" role="alert">
      <p>
        <strong>The session {session} has ended, or is not yours.</strong> Its files and variables are gone; your code
        is still here.
      </p>
      <button type="button" class="small" onClick={startAgain}>
        Go on in a new session
      </button>
    </div>
  );
}
