import { isRecord } from '../api/error.ts';

/** A piece of code, and the context that it runs in. */
export interface Cell {
  readonly id: number;
  readonly code: string;
  /** Empty: a new process each time. */
  readonly context: string;
}

const MOST_STORED = 500_000;
export const FIRST_CODE = 'print("Hello from the sandbox")\n';

let lastId = 0;

export function newCell(code = '', context = 'main'): Cell {
  lastId += 1;
  return { id: lastId, code, context };
}

function keyOf(session: string | undefined): string {
  return `glovebox.cells.${session ?? ''}`;
}

/** The cells of a session as this tab had them last. */
export function loadCells(session: string | undefined): readonly Cell[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(keyOf(session)) ?? '[]');
    const cells = (Array.isArray(stored) ? stored : [])
      .filter(isRecord)
      .map(({ code, context }) => newCell(String(code), String(context)));
    if (cells.length > 0) return cells;
  } catch {
    // Not what this page has written.
  }
  return [newCell(session === undefined ? FIRST_CODE : '')];
}

export function saveCells(session: string | undefined, cells: readonly Cell[]): void {
  const text = JSON.stringify(cells.map(({ code, context }) => ({ code, context })));
  try {
    if (text.length <= MOST_STORED) sessionStorage.setItem(keyOf(session), text);
  } catch {
    // Its room is used up: the cells live as long as the page.
  }
}
