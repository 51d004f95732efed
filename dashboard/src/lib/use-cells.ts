import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { describeError } from '../api/error.ts';
import { runPython, type StreamedCall } from '../api/stream.ts';
import type { Execution } from '../api/types.ts';
import { type Cell, loadCells, newCell, saveCells } from './cells.ts';
import { appendText, BEGUN, endRun, type RunState } from './run-state.ts';

/** Interval at which output is shown while it comes. */
const BATCH_MS = 100;

export interface Cells {
  readonly cells: readonly Cell[];
  readonly runs: ReadonlyMap<number, RunState>;
  readonly change: (id: number, changed: Partial<Cell>) => void;
  readonly add: () => void;
  readonly remove: (id: number) => void;
  readonly run: (cell: Cell) => Promise<void>;
  readonly stop: (id: number) => void;
}

interface Options {
  readonly openSession: () => Promise<string>;
  /** Called after each run. */
  readonly onEnd: () => void;
}

type Runs = ReadonlyMap<number, RunState>;
type Change = (before: RunState) => RunState;

/** Makes many changes of runs at once: a fast program puts out more often than a page can be laid out. */
function useBatches(setRuns: (next: (before: Runs) => Runs) => void) {
  const waiting = useRef<{ readonly id: number; readonly change: Change }[]>([]);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const flush = useCallback(() => {
    clearTimeout(timer.current);
    timer.current = undefined;
    const changes = waiting.current;
    waiting.current = [];
    setRuns((before) => {
      const after = new Map(before);
      for (const { id, change } of changes) after.set(id, change(after.get(id) ?? BEGUN));
      return after;
    });
  }, [setRuns]);
  const later = useCallback(
    (id: number, change: Change) => {
      waiting.current.push({ id, change });
      timer.current ??= setTimeout(flush, BATCH_MS);
    },
    [flush],
  );
  return { later, flush };
}

/** The cells of a session, with what came of running them. They stay when a session is made for them. */
export function useCells(session: string | undefined, { openSession, onEnd }: Options): Cells {
  const [cells, setCells] = useState(() => loadCells(session));
  const [runs, setRuns] = useState<ReadonlyMap<number, RunState>>(new Map());
  const busy = useRef(new Set<number>());
  const calls = useRef(new Map<number, StreamedCall<Execution>>());
  useEffect(() => saveCells(session, cells), [session, cells]);
  const set = useCallback((id: number, next: (before: RunState) => RunState) => {
    setRuns((before) => new Map(before).set(id, next(before.get(id) ?? BEGUN)));
  }, []);
  const { later, flush } = useBatches(setRuns);
  const run = async ({ id, code, context }: Cell) => {
    if (busy.current.has(id) || code.trim() === '') return;
    busy.current.add(id);
    set(id, () => BEGUN);
    try {
      const session_id = await openSession();
      const started = runPython(
        { code, session_id, ...(context === '' ? {} : { context }) },
        {
          onText: (stream, text) => later(id, (before) => ({ ...before, [stream]: appendText(before[stream], text) })),
          onDisplay: (result) => set(id, (before) => ({ ...before, results: [...before.results, result] })),
          onProgress: (progress) => set(id, (before) => ({ ...before, progress })),
        },
      );
      calls.current.set(id, started);
      const execution = await started.result;
      flush();
      set(id, (before) => endRun(before, execution));
    } catch (thrown) {
      flush();
      set(id, (before) => ({ ...before, isRunning: false, error: describeError(thrown) }));
    } finally {
      calls.current.delete(id);
      busy.current.delete(id);
      onEnd();
    }
  };
  return {
    cells,
    runs,
    run,
    change: (id, changed) =>
      setCells((before) => before.map((cell) => (cell.id === id ? { ...cell, ...changed } : cell))),
    add: () => setCells((before) => [...before, newCell('', before.at(-1)?.context ?? 'main')]),
    remove: (id) => setCells((before) => (before.length > 1 ? before.filter((cell) => cell.id !== id) : [newCell()])),
    stop: (id) =>
      void calls.current
        .get(id)
        ?.stop()
        .catch((thrown: unknown) => set(id, (before) => ({ ...before, error: describeError(thrown) }))),
  };
}
