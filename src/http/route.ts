import type { Readable } from 'node:stream';
import type { Context } from 'hono';
import type { WebSocket } from 'ws';
import type { Upgraded } from '../peers/client.ts';
import type { Forwarded } from '../peers/peer.ts';
import type { Answer, Approver } from './auth/auth.ts';
import type { Scope } from './auth/scopes.ts';

/** What a route does with a request for a WebSocket. */
export interface Upgrade {
  /** Answers with a WebSocket, if the answer of the route is a success. Called at most once. */
  accept(open: (socket: WebSocket) => void): void;
  /** Answers with the connection to another control plane, which has accepted it, in place of a WebSocket of its own. */
  passOn(upgraded: Upgraded): void;
}

/** Data about a request that the app sets before the route runs. */
export interface Env {
  Bindings: {
    outgoing?: Answer & { readonly writableNeedDrain: boolean };
    /** Set for a request that asks for a WebSocket. */
    upgrade?: Upgrade;
    /** Set for a request that another control plane passes on. It has admitted the caller. */
    forwarded?: Forwarded;
    incoming?: Readable & { readonly complete: boolean; readonly socket: { readonly bytesRead: number } };
  };
  Variables: {
    owner: string;
    /** Set for a caller who may only answer questions. */
    approver?: Approver;
    /** Scope that the token of a refused request does not have. */
    missingScope?: Scope;
    body: string;
    /** Resolves when the rest of a refused body has been read for a while. */
    rest?: Promise<void>;
    /**
     * Serves a request once more whose stream has begun, and whose call was then given up before it began. Undefined once
     * that was tried often enough. Set only where there are several servers.
     * @param ready is done before
     */
    again?: (ready?: () => Promise<void>) => Promise<Response | undefined>;
  };
}

export type Handler = (c: Context<Env>) => Response | Promise<Response>;

/** Types of bodies: JSON, a tar, a form with files, or the bytes of a file. */
export type BodyType = 'json' | 'tar' | 'form' | 'bytes';

/** A route of the API. Routing, the `Allow` header, the index page and OpenAPI are derived from it. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path in Hono's form, such as `/sessions/:id`. `/*` at the end matches any path. */
  readonly path: string;
  readonly summary: string;
  /** Operation id for OpenAPI. Generated clients use it as the name of a method. */
  readonly id?: string;
  /** Tag for OpenAPI, which groups the routes. */
  readonly tag?: 'Tools' | 'Sessions' | 'Files' | 'Terminals' | 'Executions' | 'Snapshots' | 'Approvals' | 'Server';
  /** OpenAPI operation. Left out for protocols that OpenAPI cannot describe. */
  readonly operation?: Readonly<Record<string, unknown>>;
  /** Types of bodies that the route accepts; JSON by default for POST. The route reads other types as a stream. */
  readonly takes?: readonly BodyType[];
  /** Scope that a token needs for it. Default: `read` for GET, and else `run`. */
  readonly needs?: Scope;
  /** Whether callers may use it who may only answer questions. */
  readonly forApprovers?: true;
  /** Whether it is a route of MCP, which has its own form of errors. */
  readonly isMcp?: true;
  /** Whether its handler also answers all methods that its path has no route for. */
  readonly answersAll?: true;
  /** Whether it begins calls, and answers with the streams of their events. */
  readonly isStream?: true;
  readonly handle: Handler;
}
