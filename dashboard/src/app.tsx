import { useCallback, useEffect, useRef } from 'preact/hooks';
import { call } from './api/client.ts';
import { isConnected } from './api/connection.ts';
import { noAnswer } from './api/error.ts';
import { access, currentKey, forgetKey, keyInAddress } from './api/key.ts';
import { goTo, lastSession, linkTo, place, VIEWS, type View } from './lib/route.ts';
import { THEMES, theme } from './lib/theme.ts';
import { useApprovals, waiting } from './lib/use-approvals.ts';
import { useServerInfo } from './lib/use-server-info.ts';
import { KeyForm, KeyInAddress } from './parts/key-form.tsx';
import { ErrorNotice, Notice } from './parts/notice.tsx';
import { Approvals } from './views/approvals.tsx';
import { Executions } from './views/executions.tsx';
import { Overview } from './views/overview.tsx';
import { Playground } from './views/playground.tsx';
import { Sessions } from './views/sessions.tsx';
import { Terminals } from './views/terminals.tsx';

const TITLES: Readonly<Record<View, string>> = {
  playground: 'Playground',
  terminals: 'Terminals',
  sessions: 'Sessions',
  executions: 'Executions',
  approvals: 'Approvals',
  overview: 'Overview',
};

export function App() {
  useEffect(() => {
    if (access.value === 'unknown') void call('/sessions').catch(() => {});
  }, []);
  useApprovals();
  const { view } = place.value;
  const isKnown = access.value !== 'needs-key';
  useEffect(() => {
    document.title = `${TITLES[view]} – Glovebox`;
  }, [view]);
  // Who answers needs no key that runs code.
  if (!isKnown && view !== 'approvals') return <KeyForm />;
  return (
    <>
      <button type="button" class="skip" onClick={skipToMain}>
        Skip to the content
      </button>
      <Header view={view} />
      <main class="container-fluid" id="main" tabIndex={-1}>
        {!isConnected.value && <Disconnected />}
        {keyInAddress.value && <KeyInAddress />}
        {isKnown && <NotSealed />}
        {isKnown ? <ViewOf view={view} /> : <Approvals />}
      </main>
    </>
  );
}

function ViewOf({ view }: { readonly view: View }) {
  return (
    <>
      <div hidden={view !== 'playground'}>
        <CurrentPlayground />
      </div>
      {view === 'terminals' && <Terminals session={place.value.session ?? lastSession.value} />}
      {view === 'sessions' && <Sessions />}
      {view === 'executions' && <Executions />}
      {view === 'approvals' && <Approvals />}
      {view === 'overview' && <Overview />}
    </>
  );
}

/** Stays when another view is shown, and when a session is made for it: something may run in it. */
function CurrentPlayground() {
  const session = lastSession.value;
  const made = useRef<string | undefined>(undefined);
  const number = useRef(0);
  const shown = useRef(session);
  if (shown.current !== session) {
    if (session === undefined || session !== made.current) number.current += 1;
    shown.current = session;
  }
  const onSession = useCallback((id: string) => {
    made.current = id;
    lastSession.value = id;
    if (place.value.view === 'playground') goTo('playground', id);
  }, []);
  return <Playground key={number.current} session={session} onSession={onSession} />;
}

function Header({ view }: { readonly view: View }) {
  return (
    <header class="container-fluid top">
      <span class="brand">Glovebox</span>
      <nav aria-label="Views">
        <ul>
          {VIEWS.map((name) => (
            <li key={name}>
              <a
                href={linkTo(name, name === 'playground' ? lastSession.value : undefined)}
                aria-current={name === view ? 'page' : undefined}
              >
                {TITLES[name]}
                {name === 'approvals' && waiting.value > 0 && ` (${waiting.value})`}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <div class="tools">
        <select
          aria-label="Colours"
          value={theme.value}
          onChange={({ currentTarget }) => {
            theme.value = THEMES.find((known) => known === currentTarget.value) ?? 'system';
          }}
        >
          <option value="system">System</option>
          <option value="light">Light</option>
          <option value="dark">Dark</option>
        </select>
        {currentKey() !== undefined && (
          <button type="button" class="secondary small" onClick={() => forgetKey()}>
            Forget key
          </button>
        )}
      </div>
    </header>
  );
}

/** The operator has allowed that something is missing; those who run code here should know it. */
function NotSealed() {
  const missing = useServerInfo()?.missing ?? [];
  if (missing.length === 0) return null;
  return (
    <Notice>
      <strong>The sandboxes of this server are not sealed as asked.</strong> Missing: {missing.join(', ')}.
    </Notice>
  );
}

function Disconnected() {
  return <ErrorNotice error={noAnswer()} />;
}

function skipToMain(): void {
  document.getElementById('main')?.focus();
}
