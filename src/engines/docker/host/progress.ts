import type { Readable } from 'node:stream';

/** Receives short messages about the progress of long work. */
export type Report = (message: string) => void;

/** One line of the JSON stream of a build, a pull or an import. */
export interface ProgressEvent {
  readonly stream?: string;
  readonly status?: string;
  readonly id?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
  readonly error?: string;
}

/** Error that the engine reported in a progress stream. */
class ProgressError extends Error {}

/**
 * Yields the events of a progress stream, in their order.
 * @throws ProgressError at an event with an error
 */
export async function* readProgress(body: NodeJS.ReadableStream, onData: () => void = () => {}) {
  let rest = '';
  for await (const chunk of (body as Readable).setEncoding('utf8')) {
    onData();
    const lines = (rest + String(chunk)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield* parseEvent(line);
  }
  yield* parseEvent(rest);
}

function* parseEvent(line: string): Generator<ProgressEvent> {
  if (line.trim() === '') return;
  const event = JSON.parse(line) as ProgressEvent;
  if (event.error !== undefined) throw new ProgressError(event.error);
  yield event;
}

/** Aborts its signal when nothing arrives for `limitMs` milliseconds, or when another signal aborts. */
export class StallGuard implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly signal: AbortSignal;

  constructor(limitMs: number, follows?: AbortSignal) {
    this.signal = follows ? AbortSignal.any([this.#controller.signal, follows]) : this.#controller.signal;
    this.#timer = setTimeout(() => {
      this.#controller.abort(new Error(`no data arrived for ${Math.round(limitMs / 1000)} s`));
    }, limitMs);
  }

  /** Restarts the timer, as data has arrived. */
  readonly touch = (): void => {
    this.#timer.refresh();
  };

  get stalled(): boolean {
    return this.#controller.signal.aborted;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}

/** Makes a report that leaves out repeated messages. */
export function withoutRepeats(report: Report): Report {
  let last = '';
  return (message) => {
    if (message === last) return;
    last = message;
    report(message);
  };
}

/** The last lines of a program's output, short enough for an error message. */
export function lastLines(output: string, count = 12): string {
  const lines = output
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colours of tools are escape sequences
    .replace(/\u001b\[[0-9;]*[A-Za-z]/g, '')
    .split(/[\r\n]+/)
    .map((line) => line.trimEnd())
    .filter((line) => line !== '');
  return lines.slice(-count).join('\n').slice(-2000);
}
