import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { vi } from 'vitest';
import type { PodState } from '../../src/engines/kubernetes/api/pod.ts';
import { type ApiServer, reply, startApiServer } from './api-server.ts';

/** A server of pods that a test changes, for what no real cluster does when told to. */
export class PodsServer implements AsyncDisposable {
  readonly pods = new Map<string, PodState>();
  readonly #watches = new Set<ServerResponse>();
  #server: ApiServer | undefined;
  #version = 1;
  /** Whether it lets watches be opened. */
  #isTelling = true;

  static async start(): Promise<PodsServer> {
    const pods = new PodsServer();
    pods.#server = await startApiServer({ answer: (request, response) => pods.#answer(request, response) });
    return pods;
  }

  get access(): ApiServer['access'] {
    return this.#opened.access;
  }

  /** Method and address of each request so far. */
  get asked(): readonly string[] {
    return this.#opened.asked;
  }

  /** Sets a pod, and tells all that watch. */
  set(pod: PodState): void {
    const { name } = pod.metadata;
    const type = this.pods.has(name) ? 'MODIFIED' : 'ADDED';
    const now = this.#numbered(pod);
    this.pods.set(name, now);
    this.#tell(type, now);
  }

  /** Removes a pod, and tells all that watch. */
  delete(name: string): void {
    const pod = this.pods.get(name);
    this.pods.delete(name);
    if (pod) this.#tell('DELETED', this.#numbered(pod));
  }

  /** Ends all watches, and lets none be opened until `resume`. */
  async fallSilent(): Promise<void> {
    this.#isTelling = false;
    for (const response of this.#watches) response.destroy();
    this.#watches.clear();
  }

  resume(): void {
    this.#isTelling = true;
  }

  /** Waits until something watches. */
  async watched(): Promise<void> {
    await vi.waitFor(() => {
      if (this.#watches.size === 0) throw new Error('nothing watches');
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#opened[Symbol.asyncDispose]();
  }

  get #opened(): ApiServer {
    if (!this.#server) throw new Error('The server has not started.');
    return this.#server;
  }

  #numbered(pod: PodState): PodState {
    this.#version += 1;
    return { ...pod, metadata: { ...pod.metadata, resourceVersion: `${this.#version}` } };
  }

  #tell(type: string, object: PodState): void {
    for (const response of this.#watches) response.write(`${JSON.stringify({ type, object })}\n`);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://server');
    const name = /\/pods\/([^/]+)$/.exec(url.pathname)?.[1];
    const pod = this.pods.get(name ?? '');
    if (url.searchParams.has('watch')) this.#watch(response, Number(url.searchParams.get('resourceVersion')));
    else if (name === undefined) {
      const metadata = { resourceVersion: `${this.#version}` };
      reply(response, 200, { metadata, items: [...this.pods.values()] });
    } else if (pod && request.method === 'DELETE') void this.#delete(request, response, pod);
    else if (pod) {
      reply(response, 200, pod);
    } else reply(response, 404, { status: 'Failure', reason: 'NotFound', details: { kind: 'pods', name } });
  }

  /** Marks a pod as ending, if it is as the request expects it. */
  async #delete(request: IncomingMessage, response: ServerResponse, pod: PodState): Promise<void> {
    const { preconditions = {} } = (await json(request)) as { preconditions?: Readonly<Record<string, string>> };
    const { uid, resourceVersion } = pod.metadata;
    const present: Readonly<Record<string, string>> = { uid, resourceVersion };
    if (Object.entries(preconditions).some(([name, wanted]) => present[name] !== wanted)) {
      reply(response, 409, { status: 'Failure', reason: 'Conflict', message: 'Precondition failed' });
      return;
    }
    this.set({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-11-29T15:00:00Z' } });
    reply(response, 200, pod);
  }

  /** Tells what has changed since that version, and from now on. */
  #watch(response: ServerResponse, since: number): void {
    if (this.#isTelling) {
      this.#watches.add(response);
      response.writeHead(200).flushHeaders();
      for (const object of this.pods.values()) {
        if (Number(object.metadata.resourceVersion) > since)
          response.write(`${JSON.stringify({ type: 'MODIFIED', object })}\n`);
      }
    } else reply(response, 403, { status: 'Failure', reason: 'Forbidden', message: 'silent' });
  }
}
