import type { Context } from 'hono';
import type { Answer } from './auth/auth.ts';

/** What the app finds out about a request before its route runs. */
export interface Env {
  Bindings: {
    outgoing?: Answer & { readonly writableNeedDrain: boolean };
    incoming?: { readonly complete: boolean; readonly socket: { readonly bytesRead: number } };
  };
  Variables: {
    owner: string;
    body: string;
    /** Settles when what is left of a refused body has been read for a while. */
    rest?: Promise<void>;
  };
}

export type Handler = (c: Context<Env>) => Response | Promise<Response>;

/** What the body of a request may be: JSON, a tar, a form of files, or the bytes of a file. */
export type BodyType = 'json' | 'tar' | 'form' | 'bytes';

/** One line of the API: routing, `Allow`, the index and OpenAPI derive from it. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** In Hono's form, `/sessions/:id`; `/*` at its end stands for any path. */
  readonly path: string;
  readonly summary: string;
  /** The name of a method of a client that is made of the description of the API. */
  readonly id?: string;
  /** What it is filed under there. */
  readonly tag?: 'Tools' | 'Sessions' | 'Files' | 'Executions' | 'Snapshots' | 'Server';
  /** An OpenAPI operation; protocols that OpenAPI cannot describe leave it out. */
  readonly operation?: Readonly<Record<string, unknown>>;
  /** What its body may be; JSON for a POST that leaves it out. All but JSON is read by the route, as it comes. */
  readonly takes?: readonly BodyType[];
  /** Whether it speaks a protocol that has its own word for what is wrong with a request. */
  readonly isMcp?: true;
  readonly handle: Handler;
}
