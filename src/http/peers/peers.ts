import type { Context, Hono } from 'hono';
import { beforeBegin } from '../../execution/begun.ts';
import type { Log } from '../../log.ts';
import { PeerClient } from '../../peers/client.ts';
import type { PeerKeys } from '../../peers/keys.ts';
import type { PeerListener } from '../../peers/listener.ts';
import type { Group, Locator } from '../../peers/peer.ts';
import { tagged } from '../../peers/tag.ts';
import { type AnyTool, inputShape } from '../../tools/description.ts';
import type { Env } from '../route.ts';
import type { PlacesOptions } from './find-place.ts';
import { Forwarding } from './forwarding.ts';
import { MERGED } from './merge.ts';
import { forwardTools } from './remote-tools.ts';
import { createPeerService } from './service.ts';
import { type CallRules, subjectOf } from './subject.ts';

/** A group that a control plane has joined. */
export interface JoinedGroup {
  readonly group: Group;
  readonly locator: Locator;
}

export interface PeersOptions {
  readonly listener: PeerListener;
  readonly keys: PeerKeys;
  /** Joins the group, once. @throws GloveboxError `engine_unavailable` */
  readonly join: () => Promise<JoinedGroup>;
  /** Longest wait in milliseconds for somebody who serves a request: a lease runs out, and another takes over. */
  readonly patienceMs: number;
}

export interface PeersOfServer extends PeersOptions, Pick<PlacesOptions, 'has'> {
  readonly tools: readonly AnyTool[];
  readonly fallback: CallRules['fallback'];
  readonly log: Log;
}

interface Joined extends JoinedGroup {
  readonly client: PeerClient;
  readonly forwarding: Forwarding;
}

/** The other control planes of the group, for a server. */
export class Peers implements AsyncDisposable {
  readonly #options: PeersOfServer;
  readonly #rules: CallRules;
  #served: { readonly app: Hono<Env>; readonly closing: AbortSignal } | undefined;
  #joining: Promise<Joined> | undefined;
  #joined: Joined | undefined;

  constructor(options: PeersOfServer) {
    this.#options = options;
    const names = new Map(options.tools.map((tool) => [tool.name, argumentsOf(tool)]));
    this.#rules = { argumentsOf: (tool) => names.get(tool), fallback: options.fallback };
  }

  /** Makes an id tell that only this control plane has what it stands for. */
  readonly mark = (id: string): string => (this.#joined ? tagged(id, this.#joined.group.self.name) : id);

  /** Makes tools whose calls are served where their sessions are held. */
  forwardTools(tools: readonly AnyTool[]): readonly AnyTool[] {
    return forwardTools(tools, { joined: () => this.#join(), rules: this.#rules });
  }

  /** Passes a request on. Undefined if it is to be served here. @throws GloveboxError as `Forwarding.pass` does */
  async pass(c: Context<Env>): Promise<Response | undefined> {
    const { method, path } = c.req;
    const body = c.var.body as string | undefined;
    const header = (name: string) => c.req.header(name);
    const query = (name: string) => c.req.query(name);
    const subject = subjectOf({ method, path, body, header, query }, this.#rules);
    if (!subject) return undefined;
    const { forwarding } = this.#joined ?? (await beforeBegin(this.#join()));
    return await forwarding.pass(c, subject);
  }

  /** Adds to a list of this control plane what the others have. Other answers stay as they are. */
  async complete(c: Context<Env>, answer: Response): Promise<Response> {
    const merged = c.req.method === 'GET' ? MERGED.get(c.req.path) : undefined;
    if (!merged) return answer;
    const { forwarding } = await this.#join();
    return await forwarding.complete(c, answer, merged);
  }

  /** Serves what others pass on, as soon as the group is joined. @param closing aborts when the server shuts down */
  serve(app: Hono<Env>, closing: AbortSignal): void {
    this.#served = { app, closing };
    // What fails is told to whoever calls, and tried again with the next call.
    void this.#join().catch(() => {});
  }

  /** Lets requests that others have passed on end for so many milliseconds. */
  async close(graceMs: number): Promise<void> {
    await this.#options.listener.close(graceMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#joined?.client[Symbol.dispose]();
    await this.#options.listener.close();
  }

  async #join(): Promise<Joined> {
    if (this.#joined) return this.#joined;
    this.#joining ??= this.#joinOnce().finally(() => {
      this.#joining = undefined;
    });
    return await this.#joining;
  }

  async #joinOnce(): Promise<Joined> {
    const { join, listener, keys, has, patienceMs, log } = this.#options;
    const { group, locator } = await join();
    const client = new PeerClient(group, keys);
    const forwarding = new Forwarding({ group, locator, client, has, patienceMs });
    this.#joined = { group, locator, client, forwarding };
    if (this.#served) listener.serve(group, createPeerService({ ...this.#served, locator, has, log }));
    return this.#joined;
  }
}

function argumentsOf(tool: AnyTool): ReadonlySet<string> {
  return new Set(Object.keys((inputShape(tool)['properties'] ?? {}) as object));
}
