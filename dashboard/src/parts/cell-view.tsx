import type { Cell } from '../lib/cells.ts';
import type { RunState } from '../lib/run-state.ts';
import { Editor } from './editor.tsx';
import { Output } from './output.tsx';

export interface CellActions {
  readonly change: (changed: Partial<Cell>) => void;
  readonly run: () => void;
  readonly stop: () => void;
  readonly remove: () => void;
  readonly endContext: () => void;
  readonly download: (path: string) => void;
}

interface Props {
  readonly cell: Cell;
  readonly number: number;
  readonly run: RunState | undefined;
  /** Names of the live contexts. */
  readonly contexts: readonly string[];
  readonly actions: CellActions;
}

export function CellView({ cell, number, run, contexts, actions }: Props) {
  const isRunning = run?.isRunning === true;
  const isLive = contexts.includes(cell.context);
  return (
    <section class="cell" aria-label={`Cell ${number}`}>
      <div class="bar">
        {isRunning ? (
          <button type="button" class="small stop" onClick={actions.stop}>
            Stop
          </button>
        ) : (
          <button type="button" class="small" onClick={actions.run} title="Ctrl+Enter">
            Run
          </button>
        )}
        <label class="context">
          Context
          <input
            list="contexts"
            value={cell.context}
            placeholder="none"
            pattern="[A-Za-z0-9_\-]{0,64}"
            title="Letters, digits, _ and -. Variables of a context stay for its next cells; without one, each run begins anew."
            spellcheck={false}
            autocomplete="off"
            onInput={({ currentTarget }) => actions.change({ context: currentTarget.value.trim() })}
          />
        </label>
        {isLive && !isRunning && (
          <button type="button" class="secondary small" onClick={actions.endContext}>
            Reset {cell.context}
          </button>
        )}
        <button type="button" class="secondary small last" onClick={actions.remove} disabled={isRunning}>
          Remove<span class="unseen"> cell {number}</span>
        </button>
      </div>
      <Editor
        code={cell.code}
        label={`Code of cell ${number}`}
        onChange={(code) => actions.change({ code })}
        onRun={actions.run}
      />
      {run && <Output run={run} onDownload={actions.download} />}
    </section>
  );
}
