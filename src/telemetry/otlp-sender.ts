import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Dispatchers } from '../outbound/dispatchers.ts';
import type { CollectorHealth } from './collector-health.ts';
import type { SignalSettings } from './settings.ts';

const compress = promisify(gzip);

/** Answers after which the same report is sent again (OTLP 1.9, "Failures"). */
const PASSING = new Set([429, 502, 503, 504]);
/** Pause before the next try in milliseconds; each is as long again as all before. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;
/** Bytes of an answer that are read, so that its connection can be used again. */
const MOST_ANSWER_BYTES = 65_536;

class Refused extends Error {}

interface Answer {
  readonly status: number;
  readonly retryAfterS: number | undefined;
}

/** Sends reports of one signal to a collector, by OTLP over HTTP. */
export class OtlpSender {
  readonly #settings: SignalSettings;
  readonly #hosts: Pick<Dispatchers, 'send'>;
  readonly #health: CollectorHealth;
  readonly #closing: AbortSignal;

  /** @param closing ends all tries */
  constructor(
    settings: SignalSettings,
    hosts: Pick<Dispatchers, 'send'>,
    health: CollectorHealth,
    closing: AbortSignal,
  ) {
    this.#settings = settings;
    this.#hosts = hosts;
    this.#health = health;
    this.#closing = closing;
  }

  /** Sends one report; while the collector cannot take it, again until its time is over. @throws Error if it is lost */
  async send(report: Uint8Array): Promise<void> {
    const signal = AbortSignal.any([this.#closing, AbortSignal.timeout(this.#settings.timeoutMs)]);
    let triedAt = performance.now();
    try {
      const body = this.#settings.isCompressed ? await compress(report) : report;
      await this.#try(signal, () => {
        triedAt = performance.now();
        return this.#post(body, signal);
      });
      this.#health.answered(this.#settings.url);
    } catch (error) {
      if (!this.#closing.aborted) this.#health.failed(this.#settings.url, error, triedAt);
      throw error;
    }
  }

  async #try(signal: AbortSignal, post: () => Promise<Answer>): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      let failure: unknown;
      let waitMs = pauseMs;
      try {
        const { status, retryAfterS } = await post();
        if (status >= 200 && status < 300) return;
        failure = new Refused(`it answered with status ${status}`);
        if (!PASSING.has(status)) throw failure;
        if (retryAfterS !== undefined) waitMs = retryAfterS * 1000;
      } catch (error) {
        failure ??= error;
        if (failure instanceof Refused || signal.aborted) throw failure;
      }
      await sleep(waitMs * (0.8 + Math.random() * 0.4), undefined, { signal }).catch(() => {
        throw failure;
      });
    }
  }

  async #post(body: Uint8Array, signal: AbortSignal): Promise<Answer> {
    const { url, headers, encoding, isCompressed } = this.#settings;
    const answer = await this.#hosts.send(url, {
      method: 'POST',
      headers: {
        ...headers,
        'content-type': encoding === 'json' ? 'application/json' : 'application/x-protobuf',
        ...(isCompressed ? { 'content-encoding': 'gzip' } : {}),
      },
      body,
      // Elsewhere, its headers could be somebody else's to read.
      redirect: 'manual',
      signal,
    });
    const length = Number(answer.headers.get('content-length') ?? Number.POSITIVE_INFINITY);
    if (length <= MOST_ANSWER_BYTES) await answer.arrayBuffer();
    else await answer.body?.cancel();
    const after = Number(answer.headers.get('retry-after') ?? Number.NaN);
    return { status: answer.status, retryAfterS: after >= 0 ? after : undefined };
  }
}
