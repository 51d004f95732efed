import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Layout } from './layout.ts';

const LOOK_EVERY_MS = 100;
const ANSWER_LIMIT_MS = 10_000;

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** The API server as its administrator has it: for what the lab itself asks. */
export class LabApi {
  readonly #agent: Agent;
  readonly #url: string;

  constructor(layout: Layout) {
    this.#url = layout.apiUrl;
    this.#agent = new Agent({
      keepAlive: true,
      ca: readFileSync(layout.certificate('ca')),
      cert: readFileSync(layout.certificate('admin')),
      key: readFileSync(layout.key('admin')),
    });
  }

  /** @throws Error when nothing answers */
  async call(method: string, path: string, body?: unknown, type = 'application/json'): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    return await new Promise((resolve, reject) => {
      const headers = text === undefined ? {} : { 'content-type': type };
      const options = { method, agent: this.#agent, headers, timeout: ANSWER_LIMIT_MS };
      const call = request(`${this.#url}${path}`, options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      });
      call.on('timeout', () => call.destroy(new Error('The API server does not answer.'))).on('error', reject);
      call.end(text);
    });
  }

  /** Makes an object, unless there is one of its name. */
  async ensure(path: string, body: unknown): Promise<void> {
    const { status, text } = await this.call('POST', path, body);
    if (status !== 201 && status !== 409) throw new Error(`POST ${path} was answered with ${status}: ${text}`);
  }

  /** Waits until an answer is as wanted. @throws Error with the last answer */
  async await(path: string, limitMs: number, isWanted: (answer: Answer) => boolean): Promise<void> {
    const deadline = Date.now() + limitMs;
    for (let last = 'none'; ; await sleep(LOOK_EVERY_MS)) {
      try {
        const answer = await this.call('GET', path);
        if (isWanted(answer)) return;
        last = `${answer.status} ${answer.text.slice(0, 2000)}`;
      } catch (error) {
        last = String(error);
      }
      if (Date.now() > deadline) throw new Error(`${path} was not as wanted in time; the last answer: ${last}`);
    }
  }

  async awaitReady(limitMs: number): Promise<void> {
    await this.await('/readyz', limitMs, ({ status }) => status === 200);
  }

  /**
   * Waits until a node is ready, or is not.
   * @param since only what the node itself has said since then counts, in milliseconds
   */
  async awaitNode(node: string, isReady: boolean, limitMs: number, since = 0): Promise<void> {
    await this.await(`/api/v1/nodes/${node}`, limitMs, ({ status, text }) => {
      if (status !== 200) return false;
      const { status: { conditions = [] } = {} }: NodeObject = JSON.parse(text);
      const ready = conditions.find(({ type }) => type === 'Ready');
      if (!ready || (ready.status === 'True') !== isReady) return false;
      // Told in whole seconds, each two.
      return Date.parse(ready.lastHeartbeatTime) > since;
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

interface NodeObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastHeartbeatTime: string;
}
