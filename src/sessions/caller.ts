/** The owner of all sessions where nobody is asked for a key. */
export const LOCAL_OWNER = 'local';

/** Who calls, and what is known of the session that they mean; made by the protocol layers. */
export interface Caller {
  /** The authenticated principal; `local` when authentication is off. */
  readonly owner: string;
  /** Value of the `X-Session-Id` header. */
  readonly sessionHeader?: string;
  /** The session that a legacy MCP session or a stdio process is bound to; set by the first call that gets one. */
  readonly binding?: { sessionId?: string };
  /** What a call gets that names no session: a new one, or the owner's `default`. */
  readonly fallback: 'new' | 'owner';
}
