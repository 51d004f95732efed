import type { Display } from '../execution/displays.ts';
import type { ToolEvent } from '../tools/tool.ts';

/** Sends one `notifications/progress`; settles when the transport can take more. */
export type SendProgress = (progress: number, message: string) => Promise<void>;

export interface ProgressOptions {
  send: SendProgress;
  /** Whether the client lags behind: text then gathers here instead of in the transport. */
  isSlow?: () => boolean;
  intervalMs?: number;
  /** The longest silence: many clients give up on a call that says nothing for a minute. */
  silenceMs?: number;
}

const INTERVAL_MS = 100;
const SILENCE_MS = 8000;
const MESSAGE_LIMIT = 4096;
const LINE_LIMIT = 200;

/**
 * A call's output as progress notifications: the first at once, then one per interval that carries
 * what came since. A slow client costs no memory and holds nothing up: only the newest text is kept,
 * and the call's result has all of it anyway. A call in silence is heard of from time to time.
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
    this.#awaitSilence();
  }

  emit(event: ToolEvent): void {
    this.#pending = newest(this.#pending + toText(event, this.#pending));
    if (this.#timer === undefined && this.#sending === undefined) this.#deliver();
  }

  /** Sends what is left; the result may follow. */
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

  #awaitSilence(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      this.#awaitSilence();
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
    this.#awaitSilence();
    const sending = this.#send(this.#count, message)
      .catch(() => undefined) // The client is gone: the call's signal says so.
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
    case 'progress':
      return event.message;
  }
}

/** A result's picture by its type, else the beginning of its text: the call's result has all of it. */
function describeFormats({ png, jpeg, text, ...others }: Display): string {
  if (png !== undefined) return 'image/png';
  if (jpeg !== undefined) return 'image/jpeg';
  if (text === undefined) return Object.keys(others).join(', ');
  const line = text.split('\n', 1)[0] ?? '';
  return line.length > LINE_LIMIT || line !== text ? `${line.slice(0, LINE_LIMIT).toWellFormed()} …` : line;
}

/** The end of a text, within the limit and never beginning with half a character. */
function newest(text: string): string {
  if (text.length <= MESSAGE_LIMIT) return text;
  return `…${text.slice(1 - MESSAGE_LIMIT).replace(/^[\uDC00-\uDFFF]/, '')}`;
}
