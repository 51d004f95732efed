import { z } from 'zod';
import { ERROR_CODES, GloveboxError } from '../errors.ts';
import { savedAccessSchema } from './saved-access.ts';

/** A running control plane, as the others of its group see it. */
export interface ControlPlane {
  /** Name of this run. No other run ever has it. */
  readonly name: string;
  /** Host and port where others of the group reach it. */
  readonly address: string;
  /** X25519 key in base64url, as SPKI. */
  readonly publicKey: string;
  /** Version of Glovebox. */
  readonly version: string;
}

/** What a control plane tells of itself when it joins. */
export type Introduction = Omit<ControlPlane, 'name'>;

/** A background execution, of which its runner and its files have the rest. Times are in ISO 8601. */
const savedExecutionSchema = z.object({
  id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  started_at: z.iso.datetime(),
  timeout_s: z.number().nonnegative(),
  context: z.string().max(64).optional(),
  kind: z.enum(['code', 'command']).optional(),
  /** Beginning of its code, or of its command. */
  code: z.string().max(100).optional(),
  task: z.literal(true).optional(),
  stdin_open: z.literal(true).optional(),
  /** Time when its program was started, after the wait for its turn. */
  began_at: z.iso.datetime().optional(),
  ...savedAccessSchema.shape,
  /** Its result in short, as `src/sessions/recorded-result.ts` has it, or the reason why it could not run. */
  result: z.record(z.string(), z.unknown()).optional(),
  error: z.object({ code: z.enum(ERROR_CODES), message: z.string(), hint: z.string() }).optional(),
});
export type SavedExecution = z.infer<typeof savedExecutionSchema>;

/** What the holder of a session writes down for the next one. Times are in ISO 8601. */
export const savedSessionSchema = z.object({
  /** Key of its sandbox. Left out if it has none. */
  key: z
    .string()
    .regex(/^[0-9a-f]{20}$/)
    .optional(),
  /** The engine's own reference to the sandbox. */
  ref: z.string().min(1).max(256).optional(),
  last_used_at: z.iso.datetime(),
  /** Time when the sandbox was filled from an archive. Its lifetime counts from then. */
  woken_at: z.iso.datetime().optional(),
  /** Names of the live contexts. They tell the next holder which ones are lost. */
  contexts: z.array(z.string().max(64)).max(64).optional(),
  /** Ids of the live terminals, which end with their holder, and of those that were lost without a word. */
  terminals: z.array(z.string().max(64)).max(64).optional(),
  /** Patterns of hosts to which its executions are narrowed. */
  web: z.array(z.string()).optional(),
  /** End of the time limit of its last background execution. The session does not expire before. */
  busy_until: z.iso.datetime().optional(),
  /** Its background executions, while it has a sandbox. */
  background: z.array(savedExecutionSchema).max(100).optional(),
  /** Id of its archive or checkpoint. */
  archive: z
    .string()
    .regex(/^snp_[0-9a-f]{24}$/)
    .optional(),
  /** Whether it is hibernated: it consists of its archive, even if a sandbox is found. */
  at_rest: z.boolean().optional(),
});
export type SavedSession = z.infer<typeof savedSessionSchema>;

/** Most bytes of a saved session as JSON. */
export const MOST_SAVED_BYTES = 65_536;

/** What all control planes of a group know of a session. It never changes: another one takes its place. */
export interface SharedSession {
  readonly owner: string;
  readonly id: string;
  readonly createdAt: Date;
  /** Counts up with each claim, from 1. Runners refuse a control plane with a lower one than they have seen. */
  readonly generation: number;
  /** Name of the run that holds it, even if that is gone. Undefined if it was released. */
  readonly holder: string | undefined;
  /** What its holder has written down last. */
  readonly saved: SavedSession | undefined;
}

/** A call with an idempotency key. */
export interface BegunCall {
  readonly owner: string;
  readonly key: string;
  /** Hash of its contents. */
  readonly fingerprint: string;
}

/** A call of the same owner and key that began before. */
export type CallBefore = Pick<BegunCall, 'fingerprint'>;

/** A sandbox that a run has started, or taken over. */
export interface LeftSandbox {
  readonly ref: string;
  readonly key: string;
  /** Label of the run that it belongs to. */
  readonly instance: string;
}

/** @param now undefined once it was removed, or its record is damaged. @param before undefined if it was not known */
export type OnSessionChange = (now: SharedSession | undefined, before: SharedSession | undefined) => void;

/**
 * What the control planes of a group share: which of them are there, and who holds which session. A session is written to
 * by its holder only, and by one that claims it. Every wait has a limit. Methods that write reject with
 * `engine_unavailable` if it is not known whether they had an effect, and with `HoldLost` once this control plane's own
 * lease ran out.
 */
export interface SharedState extends AsyncDisposable {
  /** This control plane. Another name follows when it joins anew after its lease ran out. */
  readonly self: ControlPlane;
  /** Its name for labels of sandboxes, `instance` of a `SandboxSpec`. */
  readonly label: string;
  /** The other control planes of the group whose leases run. */
  readonly others: readonly ControlPlane[];
  /**
   * False from the moment when the own lease ran out, by the own clock, until it has joined anew. It must answer nothing for
   * a session then, and remove nothing. Costs nothing to ask.
   */
  readonly isValid: boolean;
  /**
   * Calls back when the own lease ran out, before it joins anew: all sessions are lost to this control plane, and nothing of
   * them may be written or removed.
   */
  onExpired(listener: () => void): Disposable;
  /** Calls back when other control planes come or go, and once this one has joined anew. */
  onMembers(listener: () => void): Disposable;
  /** A session, as far as is known here. Makes no request. @throws SessionDamaged */
  find(owner: string, id: string): SharedSession | undefined;
  /** A session, as it is. Asks the cluster: another control plane may just have made it. @throws SessionDamaged */
  lookUp(owner: string, id: string): Promise<SharedSession | undefined>;
  /** All sessions of an owner whose records can be read. Makes no request. */
  of(owner: string): readonly SharedSession[];
  /** All sessions whose records can be read. Makes no request. */
  all(): readonly SharedSession[];
  /** Who holds a session: this control plane or a live other. Undefined if it may be claimed. */
  holderOf(session: SharedSession): ControlPlane | undefined;
  /** Calls back with each change of a session, also with own ones. */
  onChange(listener: OnSessionChange): Disposable;
  /**
   * Makes a session, held by this control plane, and takes its name over all.
   * @param createdAt default: now
   * @throws SessionExists, SessionDamaged
   */
  create(owner: string, id: string, saved?: SavedSession, createdAt?: Date): Promise<SharedSession>;
  /**
   * Takes a session that nobody holds, or whose holder's lease ran out; also one that a former call here has taken without
   * an answer. Its generation is one higher then.
   * @throws ClaimLost if it is held, or gone; SessionDamaged
   */
  claim(session: SharedSession): Promise<SharedSession>;
  /** Writes down the state of a session that this control plane holds, in place of the earlier. @throws HoldLost */
  save(session: SharedSession, saved: SavedSession): Promise<SharedSession>;
  /** Lets another control plane claim a session. @throws HoldLost */
  release(session: SharedSession, saved: SavedSession): Promise<void>;
  /** Removes a session that this control plane holds, with the sandbox of its record. @throws HoldLost */
  remove(session: SharedSession): Promise<void>;
  /** Which run of this group a label of a sandbox names. Undefined for labels of others. */
  nameOf(label: string): string | undefined;
  /** Takes over a sandbox of no session, by its label. False if it is gone, another was faster, or its maker is not dead. */
  takeSandbox(ref: string, from: string): Promise<boolean>;
  /**
   * Takes over a sandbox that a dead run had ready in its pool, and gave to no session. Returns what it is from then on.
   * Undefined if that is not certain, if it is not as own ones are, or if another was faster.
   */
  adoptSandbox(sandbox: LeftSandbox): Promise<LeftSandbox | undefined>;
  /**
   * Makes sure that the sandbox of a claimed session is no other's, before it is reached. False if it is gone, or if another
   * run has adopted it: then nothing of the session ever ran in it.
   */
  keepSandbox(session: SharedSession): Promise<boolean>;
  /**
   * Writes down, for an hour, that a call begins. Returns the one that began before, if there is one: it may have been done,
   * here, elsewhere, or by an earlier process.
   */
  beginCall(call: BegunCall): Promise<CallBefore | undefined>;
  /** Forgets a call of which nothing was done. */
  forgetCall(owner: string, key: string): Promise<void>;
}

/** There is a session of that owner and name already. */
export class SessionExists extends GloveboxError {
  readonly present: SharedSession;

  constructor(present: SharedSession) {
    super('invalid_input', `There is a session "${present.id}" already.`);
    this.present = present;
  }
}

/** Another control plane holds the session, or it is gone. */
export class ClaimLost extends GloveboxError {
  /** The session as it is now. Undefined if it is gone. */
  readonly present: SharedSession | undefined;

  constructor(id: string, present: SharedSession | undefined) {
    super('session_moved', `Another server of this service ${present ? 'holds' : 'has closed'} the session "${id}".`);
    this.present = present;
  }
}

/** This control plane does not hold the session, or no longer. It has no right to write or remove anything of it. */
export class HoldLost extends GloveboxError {
  constructor(id: string, cause?: unknown) {
    super('session_moved', `This server no longer holds the session "${id}".`, { cause });
  }
}

/** The record of a session cannot be read. Nobody can hold it until its operator has mended or removed it. */
export class SessionDamaged extends GloveboxError {
  constructor(id: string, problem: string, hint: string) {
    super('internal_error', `The record of the session "${id}" is damaged: ${problem}.`, { hint });
  }
}
