import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Audit, AuditEntry } from '../audit/audit.ts';
import { toGloveboxError } from '../errors.ts';
import type { AnyTool } from './description.ts';
import { toOutput } from './execution-output.ts';
import type { ToolContext } from './tool.ts';

/** What an entry tells of the output of a tool. */
const toldOutput = z.object({
  status: z.string().optional(),
  execution_id: z.string().optional(),
  packages: z.array(z.object({ name: z.string(), version: z.string().optional() })).optional(),
  web: z.object({ hosts: z.array(z.object({ host: z.string(), requests: z.number() })) }).optional(),
  tool_calls: z.array(z.object({ tool: z.string() })).optional(),
  queued_ms: z.number().optional(),
});

const codeInput = z.object({
  code: z.string().optional(),
  command: z.union([z.string(), z.array(z.string())]).optional(),
});

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

  async follow<T extends { readonly session_id?: string | undefined }>(outcome: Promise<T>): Promise<T> {
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
  const { data } = codeInput.safeParse(input);
  const given = data?.code ?? data?.command;
  if (given === undefined) return {};
  const text = typeof given === 'string' ? given : JSON.stringify(given);
  return { code_sha256: createHash('sha256').update(text).digest('hex'), code_bytes: Buffer.byteLength(text) };
}

function tellOutput(output: object): Pick<AuditEntry, 'outcome'> & Partial<AuditEntry> {
  const { data } = toldOutput.safeParse(output);
  const packages = data?.packages?.flatMap(({ name, version }) => (version === undefined ? [] : [[name, version]]));
  return {
    outcome: data?.status ?? 'ok',
    execution: data?.execution_id,
    packages: packages && Object.fromEntries(packages),
    hosts: data?.web && count(data.web.hosts.map(({ host, requests }) => [host, requests])),
    tools: data?.tool_calls && count(data.tool_calls.map(({ tool }) => [tool, 1])),
    queued_ms: data?.queued_ms,
  };
}

function count(items: readonly (readonly [string, number])[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const [name, number] of items) sums.set(name, (sums.get(name) ?? 0) + number);
  return Object.fromEntries(sums);
}
