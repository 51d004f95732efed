import { call } from '../api/client.ts';
import type { RecentExecution } from '../api/types.ts';
import { formatAge, formatBytes, formatDuration, formatTime } from '../lib/format.ts';
import { linkTo } from '../lib/route.ts';
import { usePolled } from '../lib/use-polled.ts';
import { useServerInfo } from '../lib/use-server-info.ts';
import { visible } from '../lib/visible.ts';
import { Empty, ErrorNotice } from '../parts/notice.tsx';
import { StatusWord } from '../parts/status.tsx';
import { TerminalText } from '../parts/terminal-text.tsx';

const POLL_MS = 3000;

export function Executions() {
  const owner = useServerInfo()?.owner ?? '';
  const { value, error, refresh } = usePolled(
    (signal) => call<{ executions: RecentExecution[] }>('/executions', { signal }),
    POLL_MS,
  );
  return (
    <>
      <h1>Executions</h1>
      <p class="quiet">Your last hundred since the server started, whether they came over REST, MCP or this page.</p>
      {error && <ErrorNotice error={error} onRetry={refresh} />}
      {value?.executions.length === 0 && (
        <Empty title="Nothing has run yet.">
          <p>
            Run something in the <a href={linkTo('playground')}>playground</a>.
          </p>
        </Empty>
      )}
      {value && value.executions.length > 0 && (
        <table class="cards">
          <caption class="unseen">Your last executions</caption>
          <thead>
            <tr>
              <th scope="col">Outcome</th>
              <th scope="col">Code and output</th>
              <th scope="col">Session</th>
              <th scope="col">Owner</th>
              <th scope="col">Duration</th>
              <th scope="col">Memory</th>
              <th scope="col">Begun</th>
            </tr>
          </thead>
          <tbody>
            {value.executions.map((execution) => (
              <Row key={execution.execution_id} execution={execution} owner={owner} />
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

function Row({ execution, owner }: { readonly execution: RecentExecution; readonly owner: string }) {
  const { status, session_id, started_at, duration_ms, peak_memory_bytes: memory, background, context } = execution;
  return (
    <tr>
      <td data-label="Outcome">
        <StatusWord status={status} />
        {background && <div class="quiet">in the background</div>}
      </td>
      <td data-label="Code and output" class="wide">
        <CodeAndOutput execution={execution} />
      </td>
      <td data-label="Session" class="mono">
        <a href={linkTo('playground', session_id)}>{session_id}</a>
        {context !== undefined && <div class="quiet">{context}</div>}
      </td>
      <td data-label="Owner">{owner}</td>
      <td data-label="Duration">{duration_ms === undefined ? '–' : formatDuration(duration_ms)}</td>
      <td data-label="Memory">{memory === undefined ? '–' : formatBytes(memory)}</td>
      <td data-label="Begun" title={formatTime(started_at)}>
        {formatAge(started_at)}
      </td>
    </tr>
  );
}

function CodeAndOutput({ execution }: { readonly execution: RecentExecution }) {
  const { kind, code, stdout = '', stderr = '', error } = execution;
  const isCommand = kind === 'command';
  const line = code.split('\n').find((one) => one.trim() !== '') ?? '';
  return (
    <>
      <details>
        <summary class="mono">
          {isCommand && '$ '}
          {visible(line.slice(0, 80))}
        </summary>
        <TerminalText text={code} label={isCommand ? 'Command' : 'Code'} />
        {stdout !== '' && <TerminalText text={stdout} label="Output" />}
        {stderr !== '' && <TerminalText text={stderr} label="Error output" isError />}
      </details>
      {error !== undefined && <div class="failed">{visible(error)}</div>}
    </>
  );
}
