import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import { z } from 'zod';
import { type PodState, podPath, podSchema } from '../../src/engines/kubernetes/api/pod.ts';
import { LABELS } from '../../src/engines/kubernetes/pod-spec.ts';
import { groupId, recordPath } from '../../src/engines/kubernetes/state/names.ts';
import { type ErrorAnswer, type Execution, post } from './rest-client.ts';
import { type Server, startServer } from './server.ts';
import type { TestNamespace } from './test-namespace.ts';

/** For what waits for the end of a lease. */
export const PATIENT = { timeout: 60_000, interval: 100 };

const recordsSchema = z.object({
  items: z.array(z.object({ spec: z.object({ id: z.string(), saved: z.object({ key: z.string() }) }) })),
});
const podsSchema = z.object({ items: z.array(podSchema) });

/** Servers that share their sessions in a namespace of the cluster, each a process of its own. */
export class ServerGroup implements AsyncDisposable {
  readonly #namespace: TestNamespace;
  readonly #env: Readonly<Record<string, string>>;
  readonly #name = `planes-${randomBytes(3).toString('hex')}`;
  readonly #servers: Server[] = [];

  /** @param env settings of all of them */
  constructor(namespace: TestNamespace, env: Readonly<Record<string, string>>) {
    this.#namespace = namespace;
    this.#env = env;
  }

  async start(env: Readonly<Record<string, string>> = {}): Promise<Server> {
    const server = await startServer({
      env: {
        ...{ GLOVEBOX_STATE: 'cluster', GLOVEBOX_INSTANCE: this.#name, GLOVEBOX_ARCHIVES: 'directory' },
        ...{ GLOVEBOX_KUBERNETES_NAMESPACE: this.#namespace.name, GLOVEBOX_POOL_SIZE: '0', GLOVEBOX_MEMORY_MB: '256' },
        ...this.#env,
        ...env,
      },
    });
    this.#servers.push(server);
    return server;
  }

  /** Pods of its sandboxes, by their names. */
  async pods(): Promise<PodState[]> {
    const { client, name } = this.#namespace;
    const { items } = await client.request('GET', podPath(name), { schema: podsSchema });
    const own = items.filter(({ metadata }) =>
      metadata.annotations[LABELS.instance]?.endsWith(`@${groupId(this.#name)}`),
    );
    return own.toSorted((a, b) => a.metadata.name.localeCompare(b.metadata.name));
  }

  async podNames(): Promise<string[]> {
    return (await this.pods()).map(({ metadata }) => metadata.name);
  }

  /** Names of the pods that sessions have, by the names of these. */
  async taken(): Promise<Record<string, string>> {
    const query = { labelSelector: `glovebox.group=${groupId(this.#name)}` };
    const path = recordPath(this.#namespace.name);
    const { items } = await this.#namespace.client.request('GET', path, { query, schema: recordsSchema });
    return Object.fromEntries(items.map(({ spec }) => [spec.id, `glovebox-${spec.saved.key}`]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

/** Waits until a server has as many sandboxes ready. */
export async function untilReady({ url }: Server, count: number): Promise<void> {
  const ready = async () => {
    const health = (await (await fetch(`${url}/health`)).json()) as { pool: { ready: number } };
    return health.pool.ready;
  };
  await expect.poll(ready, PATIENT).toBe(count);
}

/** Runs code in the context `c` of a session. */
export async function callIn(
  server: Server,
  code: string,
  session = 'work',
): Promise<{ result?: Execution } & Partial<ErrorAnswer>> {
  const body = { name: 'execute_python', arguments: { session_id: session, code, context: 'c' } };
  return (await (await post(server, '/execute', body)).json()) as { result?: Execution } & Partial<ErrorAnswer>;
}

/** The same. @throws Error when the call is refused */
export async function runIn(server: Server, code: string, session = 'work'): Promise<Execution> {
  const { result, error } = await callIn(server, code, session);
  if (!result) throw new Error(`refused: ${JSON.stringify(error)}`);
  return result;
}

/** The same, again and again until it is not refused. */
export async function runAgainIn(server: Server, code: string, session = 'work'): Promise<Execution> {
  let answer = await callIn(server, code, session);
  const said = async () => {
    if (!answer.result) answer = await callIn(server, code, session);
    return answer.error?.code ?? 'runs';
  };
  await expect.poll(said, PATIENT).toBe('runs');
  return answer.result ?? (await runIn(server, code, session));
}
