import { useRef, useState } from 'preact/hooks';
import { type ApiError, describeError } from '../api/error.ts';
import { install, type StreamedCall } from '../api/stream.ts';
import type { Installation } from '../api/types.ts';
import { addProgress, stepOf } from '../lib/install-progress.ts';
import { visible } from '../lib/visible.ts';
import { ErrorNotice } from './notice.tsx';
import { TerminalText } from './terminal-text.tsx';

interface Props {
  /** The session; it is created if there is none yet. */
  readonly openSession: () => Promise<string>;
  readonly onInstalled: () => void;
}

const OUTCOMES = {
  installed: 'installed',
  already_satisfied: 'was there',
  failed: 'failed',
  not_attempted: 'not tried',
};

export function InstallBox({ openSession, onInstalled }: Props) {
  const [typed, setTyped] = useState('');
  const [progress, setProgress] = useState<readonly string[]>();
  const [done, setDone] = useState<Installation>();
  const [error, setError] = useState<ApiError>();
  const running = useRef<StreamedCall<Installation> | undefined>(undefined);
  const isRunning = progress !== undefined;
  const submit = async (event: Event) => {
    event.preventDefault();
    // A comma separates, unless it is within a version: "numpy>=1,<2".
    const packages = typed.split(/\s+|,(?=\s*[A-Za-z])/).filter((name) => name !== '');
    if (packages.length === 0 || isRunning) return;
    setProgress(['starting']);
    setDone(undefined);
    setError(undefined);
    try {
      const session_id = await openSession();
      running.current = install(
        { packages, session_id },
        {
          onProgress: (message) => setProgress((lines = []) => addProgress(lines, message)),
        },
      );
      setDone(await running.current.result);
      onInstalled();
    } catch (thrown) {
      setError(describeError(thrown));
    } finally {
      running.current = undefined;
      setProgress(undefined);
    }
  };
  return (
    <form onSubmit={submit} aria-label="Install packages">
      <h2>Packages</h2>
      <div class="line">
        <input
          aria-label="Packages to install"
          placeholder="requests, numpy>=2"
          value={typed}
          spellcheck={false}
          autocomplete="off"
          autocapitalize="off"
          onInput={({ currentTarget }) => setTyped(currentTarget.value)}
        />
        {isRunning ? (
          <button type="button" class="small stop" onClick={() => void running.current?.stop().catch(() => {})}>
            Stop
          </button>
        ) : (
          <button type="submit" class="small">
            Install
          </button>
        )}
      </div>
      <div role="status">
        {isRunning && (
          <>
            <progress aria-label="Installing" />
            <p class="quiet">{visible(stepOf(progress))}</p>
          </>
        )}
        {done && <Installed installation={done} />}
      </div>
      {isRunning && (
        <ul class="plain quiet" aria-label="Progress of the installation">
          {progress.map((line) => (
            <li key={line}>{visible(line)}</li>
          ))}
        </ul>
      )}
      {error && <ErrorNotice error={error} />}
    </form>
  );
}

function Installed({ installation }: { readonly installation: Installation }) {
  const { packages, log, notes = [] } = installation;
  return (
    <>
      <ul class="plain">
        {packages.map(({ name, requested, status, version, error, note }) => (
          <li key={requested}>
            <strong>{visible(name)}</strong> {visible(version ?? '')}{' '}
            <span class={status === 'failed' ? 'failed' : 'quiet'}>{OUTCOMES[status]}</span>
            {[error, note].map((said) => said !== undefined && <div key={said}>{visible(said)}</div>)}
          </li>
        ))}
        {notes.map((note) => (
          <li key={note}>{visible(note)}</li>
        ))}
      </ul>
      {log !== '' && (
        <details>
          <summary>What the installer said</summary>
          <TerminalText text={log} label="Words of the installer" />
        </details>
      )}
    </>
  );
}
