import { hash } from 'node:crypto';
import type { Audit, AuditEntry } from '../audit/audit.ts';
import { toGloveboxError } from '../errors.ts';
import type { AnyTool } from './description.ts';
import { toOutput } from './execution-output.ts';
import type { ToolContext, ToolOutput } from './tool.ts';

/** What every entry of a call has. */
type Head = Pick<AuditEntry, 'event' | 'began' | 'owner' | 'transport' | 'tool' | 'code_sha256' | 'code_bytes'>;

/** Makes tools of which an audit log keeps each call that runs or changes something. Those that only read stay. */
export function auditTools(
  tools: readonly AnyTool[],
  audit: Audit | undefined,
  transport: AuditEntry['transport'],
): readonly AnyTool[] {
  if (!audit) return tools;
  return tools.map((tool) => (tool.effect === 'reads' ? tool : auditTool(tool, audit, transport)));
}

function auditTool(tool: AnyTool, audit: Audit, transport: AuditEntry['transport']): AnyTool {
  const { hold } = tool;
  const begin = (input: { session_id?: string | undefined }, context: ToolContext) =>
    new Call(
      { audit, session: input.session_id ?? context.caller.sessionHeader, signal: context.signal },
      {
        ...{ event: 'call', began: new Date().toISOString(), owner: context.caller.owner, transport, tool: tool.name },
        ...hashCode(input),
      },
    );
  return {
    ...tool,
    handle: async (input, context) => {
      await audit.admit();
      const call = begin(input, context);
      return await call.follow(tool.handle(input, context));
    },
    ...(hold && {
      hold: async (input, context, clientTools) => {
        await audit.admit();
        const call = begin(input, context);
        const held = await hold(input, context, clientTools).catch(async (error: unknown) => {
          await call.fail(error);
          throw error;
        });
        // Its caller comes back for its end, or does not: it is kept in either case.
        void call.follow(held.ended.then(toOutput)).catch(() => {});
        return held;
      },
    }),
  };
}

interface Followed {
  readonly audit: Audit;
  /** Session that the caller has named. */
  readonly session: string | undefined;
  readonly signal: AbortSignal;
}

/** A call that is kept when it has ended. */
class Call {
  readonly #followed: Followed;
  readonly #head: Head;
  readonly #begin = performance.now();

  constructor(followed: Followed, head: Head) {
    this.#followed = followed;
    this.#head = head;
  }

  async follow<T extends ToolOutput>(outcome: Promise<T>): Promise<T> {
    try {
      const output = await outcome;
      await this.#record({ session: output.session_id ?? this.#followed.session, ...tellOutput(output) });
      return output;
    } catch (error) {
      await this.fail(error);
      throw error;
    }
  }

  async fail(thrown: unknown): Promise<void> {
    const { code } = toGloveboxError(thrown);
    const isCancelled = this.#followed.signal.aborted;
    await this.#record({ session: this.#followed.session, outcome: isCancelled ? 'cancelled' : 'failed', error: code });
  }

  async #record(outcome: Pick<AuditEntry, 'outcome'> & Partial<AuditEntry>): Promise<void> {
    const durationMs = Math.round(performance.now() - this.#begin);
    await this.#followed.audit.record({ ...this.#head, ...outcome, duration_ms: durationMs });
  }
}

/** The hash tells whether code is that which somebody has. It does not keep short code secret, which can be guessed. */
function hashCode(input: object): Pick<AuditEntry, 'code_sha256' | 'code_bytes'> {
  const given = 'code' in input ? input.code : 'command' in input ? input.command : undefined;
  if (given === undefined) return {};
  const text = typeof given === 'string' ? given : JSON.stringify(given);
  return { code_sha256: hash('sha256', text), code_bytes: Buffer.byteLength(text) };
}

/** Reads fields that some tools have in common, each if it is there: a schema would cost more than all else. */
function tellOutput(output: ToolOutput): Pick<AuditEntry, 'outcome'> & Partial<AuditEntry> {
  const { status, execution_id: execution, packages, web, tool_calls: calls, queued_ms: queued } = output;
  return {
    outcome: typeof status === 'string' ? status : 'ok',
    ...(typeof execution === 'string' && { execution }),
    ...(Array.isArray(packages) && { packages: versionsOf(packages) }),
    ...(isObject(web) && { hosts: count(web['hosts'], 'host', 'requests') }),
    ...(Array.isArray(calls) && { tools: count(calls, 'tool') }),
    ...(typeof queued === 'number' && { queued_ms: queued }),
  };
}

function versionsOf(packages: readonly unknown[]): Record<string, string> {
  const versions = packages.flatMap((item): [string, string][] => {
    if (!isObject(item)) return [];
    const { name, version } = item;
    return typeof name === 'string' && typeof version === 'string' ? [[name, version]] : [];
  });
  return Object.fromEntries(versions);
}

/** Counts items by their name. @param many field of how many an item stands for; one if left out */
function count(items: unknown, key: string, many?: string): Record<string, number> {
  const sums = new Map<string, number>();
  for (const item of Array.isArray(items) ? items : []) {
    if (!isObject(item)) continue;
    const name = item[key];
    const number = many === undefined ? 1 : item[many];
    if (typeof name === 'string' && typeof number === 'number') sums.set(name, (sums.get(name) ?? 0) + number);
  }
  return Object.fromEntries(sums);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
