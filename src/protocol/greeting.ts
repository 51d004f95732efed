import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import type { ChannelExecution } from './channel-execution.ts';
import { FIRST_KEPT, FIRST_TUNNEL, PROTOCOL_VERSION } from './frames.ts';
import { MOST_INPUT_CREDIT } from './stdin-stream.ts';

/** State that an earlier control plane left in a runner. */
export interface RunnerState {
  /** Names of the live contexts. */
  readonly contexts: readonly string[];
  /** Background executions by id, including ended ones. */
  readonly executions: ReadonlyMap<string, RunningExecution>;
}

export interface RunningExecution {
  readonly id: string;
  readonly channel: ChannelExecution;
  /** How long it has run so far, or ran in total, by the runner's clock. */
  readonly ranMs: number;
  /** Whether it has ended. Then its report follows. */
  readonly ended: boolean;
  /** How the runner ended it at its time limit, without a control plane. */
  readonly endedBy?: 'interrupt' | 'kill' | undefined;
}

const greetingSchema = z.object({
  /** Most bytes of standard input that a request may send before the first grant. */
  stdin_ahead: z.number().int().min(0).max(MOST_INPUT_CREDIT).default(0),
  /** Whether the runner can unpack the contents of an archive. */
  unpacks: z.boolean().default(false),
  /** Whether the runner passes arguments to a program. */
  takes_args: z.boolean().default(false),
  /** Whether the runner runs commands. */
  commands: z.boolean().default(false),
  /** Whether the runner passes signals to programs. */
  signals: z.boolean().default(false),
  /** Whether the runner opens terminals. */
  terminals: z.boolean().default(false),
  /** Whether the runner tells what a running execution has used. */
  usage: z.boolean().default(false),
  /** Whether the runner answers pings. */
  pings: z.boolean().default(false),
  adopted: z
    .object({
      contexts: z.array(z.string().regex(/^[A-Za-z0-9_-]{1,64}$/)).max(64),
      executions: z
        .array(
          z.object({
            id: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
            stream: z
              .number()
              .int()
              .min(FIRST_KEPT)
              .max(FIRST_TUNNEL - 1),
            ran_ms: z.number().nonnegative(),
            ended: z.boolean().default(false),
            ended_by: z.enum(['interrupt', 'kill']).optional(),
          }),
        )
        .max(200)
        .refine((all) => new Set(all.map(({ stream }) => stream)).size === all.length, 'a stream of two executions'),
    })
    .optional(),
});

/** Part of a greeting that is the same in every version of the protocol. Runners of the first version sent no version. */
const versionSchema = z.object({ protocol: z.number().int().default(1) });

/** What a runner says instead that refuses a control plane. */
const refusalSchema = z.object({ refused: z.literal('generation'), generation: z.number().int().positive() });

/** Error for a runner whose image was built for another version. No other message of it can be trusted. */
export class IncompatibleRunner extends GloveboxError {
  constructor(version: number) {
    super('sandbox_lost', `The sandbox speaks version ${version} of the runner's protocol, not ${PROTOCOL_VERSION}.`);
  }
}

/** Error of a runner that another control plane has reached with a higher generation: that one has claimed the session. */
export class GenerationRefused extends GloveboxError {
  /** The highest generation that the runner has let in, as it says. */
  readonly generation: number;

  constructor(generation: number) {
    super('session_moved', 'Another server of this service has the session now.');
    this.generation = generation;
  }
}

/** Reads a greeting. @throws GenerationRefused when another control plane has the sandbox; IncompatibleRunner, or Error when the payload is not a greeting */
export function parseGreeting(payload: Buffer): z.infer<typeof greetingSchema> {
  const greeting: unknown = JSON.parse(payload.toString('utf8'));
  const { protocol } = versionSchema.parse(greeting);
  if (protocol !== PROTOCOL_VERSION) throw new IncompatibleRunner(protocol);
  const refusal = refusalSchema.safeParse(greeting);
  if (refusal.success) throw new GenerationRefused(refusal.data.generation);
  return greetingSchema.parse(greeting);
}
