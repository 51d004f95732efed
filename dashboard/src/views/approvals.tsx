import { useState } from 'preact/hooks';
import { answerApproval } from '../api/approvals.ts';
import { approverKey, forgetApproverKey } from '../api/approver-key.ts';
import { type ApiError, describeError } from '../api/error.ts';
import type { Approval, Decision } from '../api/types.ts';
import { formatAge, formatBytes, formatTime } from '../lib/format.ts';
import { approvals, approvalsError, refreshApprovals } from '../lib/use-approvals.ts';
import { visible } from '../lib/visible.ts';
import { ApproverForm } from '../parts/approver-form.tsx';
import { Empty, ErrorNotice } from '../parts/notice.tsx';

const LABELS: Readonly<Record<Decision, string>> = {
  once: 'Allow once',
  session: 'Allow for this session',
  refuse: 'Refuse',
};

/** Questions whether code may call a tool, for a person who has a key for the answers. */
export function Approvals() {
  if (approverKey.value === undefined) return <ApproverForm />;
  const questions = approvals.value;
  return (
    <>
      <h1>Approvals</h1>
      <p class="quiet">
        Code waits for each of these answers. One that is not given in ten minutes is a refusal.{' '}
        <button type="button" class="secondary small" onClick={() => forgetApproverKey()}>
          Forget the key for answers
        </button>
      </p>
      {approvalsError.value && <ErrorNotice error={approvalsError.value} onRetry={refreshApprovals} />}
      <div aria-live="polite">
        {questions?.length === 0 && (
          <Empty title="No question waits.">
            <p>They appear here by themselves.</p>
          </Empty>
        )}
        {questions?.map((question) => (
          <Asked key={question.approval_id} question={question} />
        ))}
      </div>
    </>
  );
}

function Asked({ question }: { readonly question: Approval }) {
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<ApiError | undefined>(undefined);
  const {
    approval_id: id,
    server,
    tool,
    owner,
    session_id: session,
    execution_id: execution,
    mode,
    answers,
  } = question;
  const answer = async (decision: Decision) => {
    setSending(true);
    setError(undefined);
    try {
      await answerApproval(id, decision);
    } catch (thrown) {
      setError(describeError(thrown));
    } finally {
      setSending(false);
      refreshApprovals();
    }
  };
  return (
    <article class="cell" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>
        May code call <span class="mono">{visible(tool)}</span> of <span class="mono">{visible(server)}</span>?
      </h2>
      {question.changed === true && (
        <p class="failed">
          <strong>The server has changed this tool since it was first seen.</strong>
        </p>
      )}
      <Arguments question={question} />
      <p class="quiet">
        For {visible(owner)}, in session <span class="mono">{visible(session)}</span>, execution{' '}
        <span class="mono">{visible(execution)}</span>; asked{' '}
        <span title={formatTime(question.asked_at)}>{formatAge(question.asked_at)}</span>.{' '}
        {mode === 'always' && 'Each call of this tool is asked for.'}
      </p>
      {error && <ErrorNotice error={error} />}
      {/* biome-ignore lint/a11y/useSemanticElements: they are no fields of a form */}
      <div class="actions" role="group" aria-label="Your answer">
        {answers.map((decision) => (
          <button
            type="button"
            key={decision}
            class={decision === 'refuse' ? 'small stop' : 'secondary small'}
            disabled={isSending}
            onClick={() => void answer(decision)}
          >
            {LABELS[decision]}
          </button>
        ))}
      </div>
    </article>
  );
}

/** Text only, whatever code has written: the server has written out what cannot be seen, and this page does it again. */
function Arguments({ question: { arguments: text, arguments_bytes: bytes } }: { readonly question: Approval }) {
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: it is no field */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls */}
      <pre class="terminal" dir="ltr" tabIndex={0} role="group" aria-label="Arguments">
        {visible(text)}
      </pre>
      {bytes !== undefined && (
        <p class="left-out">Parts of the arguments are left out: they have {formatBytes(bytes)}.</p>
      )}
    </>
  );
}
