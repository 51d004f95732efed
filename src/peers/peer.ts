import type { ControlPlane, SharedState } from '../state/state.ts';

/** The control planes that share their sessions, as one of them sees it. */
export type Group = Pick<SharedState, 'self' | 'others' | 'isValid' | 'onMembers'>;

/** A thing that only the control plane that made it knows where to find. */
export interface Sought {
  readonly kind: 'idempotency_key' | 'execution' | 'approval';
  readonly id: string;
}

/** What a control plane tells another of a request that it passes on. The other believes it. */
export interface Forwarded {
  readonly owner: string;
  /** Set for a caller who may only answer questions. */
  readonly approver?: { readonly name: string; readonly owner?: string | undefined } | undefined;
  /** Session that the request is about. It is refused where that is not held. */
  readonly session?: string | undefined;
  /** Set if the request only asks whether something is there. */
  readonly seeks?: Sought | undefined;
  /** Whether the body is a stream, which may be refused before it is sent. */
  readonly isStream?: true | undefined;
  /** Whether the caller uses tools, and gets hints that name tools instead of routes. */
  readonly usesTools?: true | undefined;
  /** Whether the user of the caller can be asked: questions are events of the call. */
  readonly asks?: true | undefined;
}

/** Finds the control planes that answer for sessions. */
export interface Locator {
  /**
   * Finds who answers for a session. One that nobody holds is claimed.
   * @returns `here`: this control plane does; `unknown`: there is no such session; or the one that does
   */
  locate(owner: string, id: string, signal: AbortSignal): Promise<'here' | 'unknown' | ControlPlane>;
  /** Whether this control plane answers for a session at the moment, or there is none of that id. */
  mayServe(owner: string, id: string): boolean;
  /** Resolves at a change of who holds a session, or when the signal aborts. */
  changed(owner: string, id: string, signal: AbortSignal): Promise<void>;
  /** The session that an execution ran in, as far as its id tells. */
  sessionOfExecution(owner: string, executionId: string): string | undefined;
}
