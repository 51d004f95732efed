import { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import type { ChannelExecution } from './channel-execution.ts';
import { FIRST_KEPT, FIRST_TUNNEL, PROTOCOL_VERSION } from './frames.ts';
import { MOST_INPUT_CREDIT } from './stdin-stream.ts';

/** What an earlier control plane has left in a runner. */
export interface RunnerState {
  /** Names of the contexts that live. */
  readonly contexts: readonly string[];
  /** Background executions by id, those that have ended included. */
  readonly executions: ReadonlyMap<string, RunningExecution>;
}

export interface RunningExecution {
  readonly id: string;
  readonly channel: ChannelExecution;
  /** How long it had run when this was told, or ran in all; by the runner's clock. */
  readonly ranMs: number;
  /** Whether it has ended: then its report is on its way. */
  readonly ended: boolean;
  /** How the runner ended it, alone and at its time limit. */
  readonly endedBy?: 'interrupt' | 'kill' | undefined;
}

const greetingSchema = z.object({
  /** Bytes of standard input that a request may say to be granted from the start. */
  stdin_ahead: z.number().int().min(0).max(MOST_INPUT_CREDIT).default(0),
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

/** All that is to be understood of a greeting in every version of the protocol. Runners of the first named none. */
const versionSchema = z.object({ protocol: z.number().int().default(1) });

/** The runner is of an image that was made for another control plane: nothing else that it says can be relied on. */
export class IncompatibleRunner extends GloveboxError {
  constructor(version: number) {
    super('sandbox_lost', `The sandbox speaks version ${version} of the runner's protocol, not ${PROTOCOL_VERSION}.`);
  }
}

/** @throws IncompatibleRunner, or Error when the payload is not what a runner says first. */
export function parseGreeting(payload: Buffer): z.infer<typeof greetingSchema> {
  const greeting: unknown = JSON.parse(payload.toString('utf8'));
  const { protocol } = versionSchema.parse(greeting);
  if (protocol !== PROTOCOL_VERSION) throw new IncompatibleRunner(protocol);
  return greetingSchema.parse(greeting);
}
