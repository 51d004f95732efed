import { createHmac } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GloveboxError } from '../errors.ts';
import { ConcurrencyLimit } from '../lib/concurrency-limit.ts';
import type { Log } from '../log.ts';
import { describeQuestion, type Question } from './question.ts';

/** Pauses before each attempt, in milliseconds. */
const ATTEMPTS_MS = [0, 2000, 10_000];
/** Time for an answer, in milliseconds. */
const ANSWER_MS = 10_000;
/** Requests at once, and the longest wait of one for the others, in milliseconds. */
const AT_ONCE = 8;
const PATIENCE_MS = 60_000;

export interface WebhookOptions {
  readonly url: string;
  /** Key of the signature. With the prefix `whsec_`, the rest is base64, as Standard Webhooks has it. */
  readonly secret: string;
  readonly log: Log;
  /** Pauses before each attempt, in milliseconds. */
  readonly attemptsMs?: readonly number[];
}

/**
 * Opens the webhook of the settings, if there is one.
 * @throws GloveboxError `invalid_input` for one whose receiver could not know who sends it
 */
export function openWebhook(url: string | undefined, secret: string | undefined, log: Log): Webhook | undefined {
  if (url !== undefined && secret !== undefined) return new Webhook({ url, secret, log });
  if (url === undefined && secret === undefined) return undefined;
  throw new GloveboxError(
    'invalid_input',
    'GLOVEBOX_APPROVAL_WEBHOOK and GLOVEBOX_APPROVAL_WEBHOOK_SECRET go together.',
    {
      hint: 'Set both, or neither: the secret signs what the address gets.',
    },
  );
}

/** Tells an address of the operator of questions that wait, signed as Standard Webhooks says. */
export class Webhook implements Disposable {
  readonly #options: WebhookOptions;
  readonly #key: Buffer;
  readonly #places = new ConcurrencyLimit(AT_ONCE, PATIENCE_MS);
  readonly #closing = new AbortController();

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#key = keyOf(options.secret);
  }

  /** Sends a question, again if it does not arrive. Resolves when it has arrived, or been given up. */
  async send(question: Question): Promise<void> {
    const { log, attemptsMs = ATTEMPTS_MS } = this.#options;
    const data = { ...describeQuestion(question), answer_at: `/approvals/${question.id}` };
    const timestamp = question.askedAt.toISOString();
    const body = JSON.stringify({ type: 'approval.asked', timestamp, data });
    let problem: unknown;
    for (const pauseMs of attemptsMs) {
      try {
        await sleep(pauseMs, undefined, { signal: this.#closing.signal });
        await this.#places.run(() => this.#post(question.id, body));
        return;
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        problem = error;
      }
    }
    // Without its address, which may have a secret in it.
    log.warn('a question did not reach GLOVEBOX_APPROVAL_WEBHOOK', { id: question.id, reason: reasonOf(problem) });
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #post(id: string, body: string): Promise<void> {
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signature = createHmac('sha256', this.#key).update(`${id}.${timestamp}.${body}`).digest('base64');
    const answer = await fetch(this.#options.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
      },
      body,
      redirect: 'error',
      signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ANSWER_MS)]),
    });
    await answer.body?.cancel();
    if (!answer.ok) throw new Refusal(answer.status);
  }
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`status ${status}`);
    this.status = status;
  }
}

function keyOf(secret: string): Buffer {
  return secret.startsWith('whsec_') ? Buffer.from(secret.slice('whsec_'.length), 'base64') : Buffer.from(secret);
}

/** Nothing of the address: errors of `fetch` may quote it. */
function reasonOf(problem: unknown): string {
  if (problem instanceof Refusal) return problem.message;
  const cause = problem instanceof Error ? problem.cause : undefined;
  if (cause instanceof Error && 'code' in cause) return String(cause.code);
  return problem instanceof Error ? problem.name : 'unknown';
}
