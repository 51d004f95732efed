import { hash } from 'node:crypto';
import type { Audit, AuditEntry } from '../../audit/audit.ts';
import { toGloveboxError } from '../../errors.ts';
import type { AnyTool } from '../description.ts';
import { toOutput } from '../execution-output.ts';
import type { ToolContext, ToolOutput } from '../tool.ts';
import { tellOutput } from './tell-output.ts';

type Transport = NonNullable<AuditEntry['transport']>;

/** What every entry of a call has. */
type Head = Pick<AuditEntry, 'event' | 'began' | 'owner' | 'transport' | 'tool' | 'code_sha256' | 'code_bytes'>;

/** Makes tools of which an audit log keeps each call that runs or changes something. Those that only read stay. */
export function auditTools(
  tools: readonly AnyTool[],
  audit: Audit | undefined,
  transport: Transport,
): readonly AnyTool[] {
  if (!audit) return tools;
  return tools.map((tool) => (tool.effect === 'reads' ? tool : auditTool(tool, audit, transport)));
}

function auditTool(tool: AnyTool, audit: Audit, transport: Transport): AnyTool {
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
