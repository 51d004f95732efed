import type { Execution } from '../api/types.ts';
import { formatBytes, formatDuration } from '../lib/format.ts';
import type { RunState } from '../lib/run-state.ts';
import { visible } from '../lib/visible.ts';
import { ErrorNotice, Notice } from './notice.tsx';
import { ResultView } from './result-view.tsx';
import { StatusWord } from './status.tsx';
import { TerminalText } from './terminal-text.tsx';

interface Props {
  readonly run: RunState;
  /** Address of a file of the session. */
  readonly onDownload: (path: string) => void;
}

/** All that came of running a cell, and what comes while it runs. */
export function Output({ run, onDownload }: Props) {
  const { stdout, stderr, results, execution, error, isRunning, progress } = run;
  return (
    <div class="output">
      {stdout.text !== '' && <TerminalText {...stdout} label="Output" />}
      {stderr.text !== '' && <TerminalText {...stderr} label="Error output" isError />}
      {results.map((result, at) => (
        <ResultView key={at} result={result} number={at + 1} />
      ))}
      {execution?.error && <Exception error={execution.error} stderr={execution.stderr} />}
      {error && <ErrorNotice error={error} />}
      {execution && <Remarks execution={execution} onDownload={onDownload} />}
      <p class="quiet" role="status">
        {isRunning && <span aria-busy="true">{progress === undefined ? 'Running' : visible(progress)}</span>}
        {execution && <End execution={execution} />}
      </p>
    </div>
  );
}

type ExceptionProps = { readonly error: NonNullable<Execution['error']>; readonly stderr: string };

function Exception({ error, stderr }: ExceptionProps) {
  const isPrinted = stderr.includes(`${error.name}: ${error.value}`);
  return (
    <div class="notice error" role="alert">
      <p>
        <strong>{visible(error.name)}</strong>: <span dir="auto">{visible(error.value.slice(0, 2000))}</span>
      </p>
      {error.hint !== undefined && <p>{visible(error.hint)}</p>}
      {!isPrinted && error.traceback !== '' && (
        <details>
          <summary>Traceback</summary>
          <TerminalText text={error.traceback} label="Traceback" isError />
        </details>
      )}
    </div>
  );
}

function Remarks({
  execution,
  onDownload,
}: {
  readonly execution: Execution;
  readonly onDownload: Props['onDownload'];
}) {
  const { truncated, limit, session_reset: reset, files, tool_calls: calls = [] } = execution;
  const cut = [truncated?.stdout, truncated?.stderr].filter((stream) => stream !== undefined);
  return (
    <>
      {cut.map((stream) => (
        <p class="quiet" key={stream.file}>
          {formatBytes(stream.bytes)} of {formatBytes(stream.total_bytes)} of output are not shown here.{' '}
          {stream.file !== undefined && <FileButton path={stream.file} onDownload={onDownload} />}
        </p>
      ))}
      {limit && (
        <Notice>
          It met a limit: {visible(limit.name)} of {limit.value}. The operator can raise it with the setting{' '}
          <code>{visible(limit.setting)}</code>.
        </Notice>
      )}
      {reset && (
        <Notice>
          The session was reset before this. Lost: {visible(reset.lost.join(', '))}.
          {reset.restored_from !== undefined && ` Its files are those of ${visible(reset.restored_from)}.`}
        </Notice>
      )}
      {calls.length > 0 && <ToolCalls calls={calls} />}
      {files.length > 0 && (
        <p class="quiet">
          Files:{' '}
          {files.slice(0, 20).map(({ path }) => (
            <FileButton key={path} path={path} onDownload={onDownload} />
          ))}
          {files.length > 20 && ` and ${files.length - 20} more`}
        </p>
      )}
    </>
  );
}

function ToolCalls({ calls }: { readonly calls: NonNullable<Execution['tool_calls']> }) {
  const failed = calls.filter(({ status }) => status !== 'ok').length;
  const word = calls.length === 1 ? 'call of a tool' : 'calls of tools';
  return (
    <details class="quiet">
      <summary>
        {calls.length} {word}
        {failed > 0 && `, ${failed} failed`}
      </summary>
      <ul>
        {calls.map(({ n, tool, status, ms }) => (
          <li key={n}>
            <code>{visible(tool)}</code> {visible(status)}, {formatDuration(ms)}
          </li>
        ))}
      </ul>
    </details>
  );
}

function FileButton({ path, onDownload }: { readonly path: string; readonly onDownload: Props['onDownload'] }) {
  return (
    <button type="button" class="link" onClick={() => onDownload(path)}>
      {visible(path)}
    </button>
  );
}

function End({ execution }: { readonly execution: Execution }) {
  const { status, exit_code, signal, duration_ms, queued_ms, peak_memory_bytes } = execution;
  const facts = [
    ...(exit_code === null || exit_code === 0 ? [] : [`exit code ${exit_code}`]),
    ...(signal === undefined ? [] : [signal]),
    formatDuration(duration_ms),
    ...(queued_ms === undefined || queued_ms < 100 ? [] : [`after waiting ${formatDuration(queued_ms)}`]),
    ...(peak_memory_bytes === undefined ? [] : [`${formatBytes(peak_memory_bytes)} of memory`]),
  ];
  return (
    <>
      <StatusWord status={status} /> · {facts.join(' · ')}
    </>
  );
}
