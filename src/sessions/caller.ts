/** Owner of all sessions on a server without keys. */
export const LOCAL_OWNER = 'local';

/** Caller of a tool, with what is known of the intended session. The protocol layers create it. */
export interface Caller {
  /** Authenticated owner; `local` when authentication is off. */
  readonly owner: string;
  /** Value of the `X-Session-Id` header. */
  readonly sessionHeader?: string;
  /** Session bound to an MCP session of an older protocol version or to a stdio process. Set by its first call. */
  readonly binding?: { sessionId?: string };
  /** Session of a call that names none: a new one, or the owner's `default`. */
  readonly fallback: 'new' | 'owner';
}
