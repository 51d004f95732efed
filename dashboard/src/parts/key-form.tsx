import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import { access, keyInAddress, refusal, useKey } from '../api/key.ts';
import { linkTo } from '../lib/route.ts';
import { Notice } from './notice.tsx';

/** Asks for a key, and tries it. */
export function KeyForm() {
  const [key, setKey] = useState('');
  const [isTrying, setTrying] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    const typed = key.trim();
    if (typed === '') return;
    useKey(typed);
    setTrying(true);
    try {
      await call('/sessions');
      access.value = 'open';
    } catch {
      setKey('');
    } finally {
      setTrying(false);
    }
  };
  return (
    <main class="container narrow">
      <article>
        <h1>Glovebox</h1>
        <p>This server asks its callers for a key.</p>
        {keyInAddress.value && <KeyInAddress />}
        <form onSubmit={submit}>
          <label>
            Key
            <input
              type="password"
              name="glovebox-key"
              autocomplete="off"
              spellcheck={false}
              required
              value={key}
              aria-invalid={refusal.value === undefined ? undefined : true}
              aria-describedby="key-help"
              onInput={({ currentTarget }) => setKey(currentTarget.value)}
            />
          </label>
          {refusal.value !== undefined && (
            <p class="failed" role="alert">
              {refusal.value}
            </p>
          )}
          <p id="key-help" class="quiet">
            It stays in this tab, and is forgotten when the tab is closed. The operator makes keys with{' '}
            <code>glovebox key new NAME</code>.
          </p>
          <button type="submit" aria-busy={isTrying} disabled={isTrying}>
            Open
          </button>
        </form>
        <p class="quiet">
          To answer whether code may call a tool, open <a href={linkTo('approvals')}>Approvals</a>.
        </p>
      </article>
    </main>
  );
}

export function KeyInAddress() {
  return (
    <Notice>
      <p>
        <strong>There was a key in the address of this page.</strong> It was not used, and has been taken out: browsers
        and proxies keep addresses. Revoke that key with <code>glovebox key revoke</code>, and enter a new one here.
      </p>
    </Notice>
  );
}
