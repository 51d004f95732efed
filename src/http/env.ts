import type { Context } from 'hono';
import type { Answer } from './auth.ts';

/** What the app finds out about a request before its route runs. */
export interface Env {
  Bindings: { outgoing?: Answer & { readonly writableNeedDrain: boolean } };
  Variables: { owner: string; body: string };
}

export type Handler = (c: Context<Env>) => Response | Promise<Response>;

/** One line of the API: routing, `Allow`, the index and OpenAPI derive from it. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** In Hono's form, `/sessions/:id`; `/*` at its end stands for any path. */
  readonly path: string;
  readonly summary: string;
  /** An OpenAPI operation; protocols that OpenAPI cannot describe leave it out. */
  readonly operation?: Readonly<Record<string, unknown>>;
  readonly handle: Handler;
}
