import { useState } from 'preact/hooks';
import { approverRefusal, useApproverKey } from '../api/approver-key.ts';

/** Asks for a key that may answer questions. It is another one than that of the page, which runs code. */
export function ApproverForm() {
  const [key, setKey] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    if (key.trim() === '') return;
    useApproverKey(key.trim());
  };
  return (
    <div class="narrow">
      <h1>Approvals</h1>
      <p>
        Some tools ask a person before code may call them. To see and answer such questions here, enter a key that may
        approve.
      </p>
      <form onSubmit={submit}>
        <label>
          Key for answers
          <input
            type="password"
            name="glovebox-approver-key"
            autocomplete="off"
            spellcheck={false}
            required
            value={key}
            aria-invalid={approverRefusal.value === undefined ? undefined : true}
            aria-describedby="approver-help"
            onInput={({ currentTarget }) => setKey(currentTarget.value)}
          />
        </label>
        {approverRefusal.value !== undefined && (
          <p class="failed" role="alert">
            {approverRefusal.value}
          </p>
        )}
        <p id="approver-help" class="quiet">
          It stays in this tab, and can run nothing. The operator makes one with{' '}
          <code>glovebox key new NAME --may approve</code>.
        </p>
        <button type="submit">Show the questions</button>
      </form>
    </div>
  );
}
