import type { Display } from '../execution/displays.ts';
import type { ToolEvent } from '../tools/tool.ts';

/** Sends one `notifications/progress`. Resolves when the transport can accept more. */
export type SendProgress = (progress: number, message: string) => Promise<void>;

export interface ProgressOptions {
  send: SendProgress;
  /** Whether the client reads slowly. Text is then collected here, not in the transport. */
  isSlow?: () => boolean;
  /** Interval between two notifications, in milliseconds. */
  intervalMs?: number;
  /** Longest time without a notification, in milliseconds. Many clients abort a call that is silent for a minute. */
  silenceMs?: number;
}

const INTERVAL_MS = 100;
const SILENCE_MS = 8000;
/** Characters of one notification. */
const MESSAGE_LIMIT = 4096;
/** Characters of the text of a result. */
const LINE_LIMIT = 200;

/**
 * Sends the output of a call as progress notifications: the first at once, then one per interval with the new output.
 * A slow client does not delay the call and uses little memory: only the newest text is kept, as the result has all of
 * it. For a silent call, a notification is sent from time to time.
 */
export class ProgressFeed {
  readonly #send: SendProgress;
  readonly #isSlow: () => boolean;
  readonly #intervalMs: number;
  readonly #silenceMs: number;
  readonly #startedAt = Date.now();
  #pending = '';
  #count = 0;
  #sending: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #silence: NodeJS.Timeout | undefined;

  constructor({ send, isSlow = () => false, intervalMs = INTERVAL_MS, silenceMs = SILENCE_MS }: ProgressOptions) {
    this.#send = send;
    this.#isSlow = isSlow;
    this.#intervalMs = intervalMs;
    this.#silenceMs = silenceMs;
    this.#restartSilenceTimer();
  }

  emit(event: ToolEvent): void {
    this.#pending = newest(this.#pending + toText(event, this.#pending));
    if (this.#timer === undefined && this.#sending === undefined) this.#deliver();
  }

  /** Sends the remaining text, before the result. */
  async flush(): Promise<void> {
    this.stop();
    while (this.#sending !== undefined) {
      await this.#sending;
      this.stop();
    }
    if (this.#pending !== '') await this.#start();
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#timer = undefined;
  }

  #restartSilenceTimer(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#restartSilenceTimer();
      if (this.#pending !== '' || this.#sending !== undefined || this.#isSlow()) return;
      this.#pending = `Still running after ${Math.round((Date.now() - this.#startedAt) / 1000)} s.\n`;
      void this.#start();
    }, this.#silenceMs);
  }

  #deliver(): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#pending !== '' && this.#sending === undefined) this.#deliver();
    }, this.#intervalMs);
    if (!this.#isSlow()) void this.#start();
  }

  #start(): Promise<void> {
    const message = this.#pending;
    this.#pending = '';
    this.#count += 1;
    this.#restartSilenceTimer();
    const sending = this.#send(this.#count, message)
      .catch(() => undefined) // The client has gone, so the signal of the call aborts too.
      .then(() => {
        this.#sending = undefined;
        if (this.#pending !== '' && this.#timer === undefined) this.#deliver();
      });
    this.#sending = sending;
    return sending;
  }
}

function toText(event: ToolEvent, pending: string): string {
  if ('text' in event) return event.text;
  const line = toLine(event);
  return pending === '' || pending.endsWith('\n') ? `${line}\n` : `\n${line}\n`;
}

function toLine(event: Exclude<ToolEvent, { text: string }>): string {
  switch (event.type) {
    case 'session':
      return `session ${event.session_id}`;
    case 'display':
      return `[result] ${describeFormats(event.result)}`;
    case 'tool_call':
      return `[tool] ${event.tool}${event.status === 'begun' ? '' : `: ${event.status} (${event.ms} ms)`}`;
    case 'progress':
      return event.message;
  }
}

/** The type of a result's image, or the beginning of its text. */
function describeFormats({ png, jpeg, text, ...others }: Display): string {
  if (png !== undefined) return 'image/png';
  if (jpeg !== undefined) return 'image/jpeg';
  if (text === undefined) return Object.keys(others).join(', ');
  const line = text.split('\n', 1)[0] ?? '';
  return line.length > LINE_LIMIT || line !== text ? `${line.slice(0, LINE_LIMIT).toWellFormed()} …` : line;
}

/** The end of a text, within the limit. It never begins with half a surrogate pair. */
function newest(text: string): string {
  if (text.length <= MESSAGE_LIMIT) return text;
  return `…${text.slice(1 - MESSAGE_LIMIT).replace(/^[\uDC00-\uDFFF]/, '')}`;
}
