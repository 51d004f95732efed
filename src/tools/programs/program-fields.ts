import { z } from 'zod';
import { whyRefused } from '../../execution/variables.ts';
import { programText, sessionIdInput } from '../common-fields.ts';

const MAX_VARIABLES = 256;
/** No exclusive bound: not every client knows them. */
const SHORTEST_TIMEOUT_S = 0.001;
export const ENV_LIMIT = 65_536;
const MAX_SERVERS = 64;
const MAX_NAME = 64;
const MAX_PATTERNS = 64;
/** Characters of a pattern: the name of a host has 253 at most. */
const MAX_PATTERN = 300;

export interface ProgramLimits {
  readonly execTimeoutS: number;
  readonly maxTimeoutS: number;
  readonly memoryMb: number;
  /** Bytes of code or of a command line, and of stdin. */
  readonly codeLimit: number;
  /** Whether there are servers whose tools code may call. */
  readonly hasTools?: boolean | undefined;
  /** Whether code may reach any hosts. */
  readonly hasWeb?: boolean | undefined;
}

const variableName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'a name is 1 to 128 letters, digits or "_" and begins with no digit');

/** Arguments that code and commands have in common. */
export interface ProgramInput {
  readonly session_id?: string | undefined;
  readonly context?: string | undefined;
  readonly reset_context?: boolean | undefined;
  readonly timeout_s?: number | undefined;
  readonly background?: boolean | undefined;
  readonly stdin?: string | undefined;
  readonly stdin_open?: boolean | undefined;
  readonly args?: readonly string[] | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly tools?: readonly string[] | undefined;
  readonly web?: readonly string[] | undefined;
}

/** Fields of a context. @param what that stays */
export function contextFields(what: string) {
  return {
    context: z
      .string()
      // Empty is as absent, and the only way to say so for a client with strict schemas, which makes all arguments required.
      .regex(/^[A-Za-z0-9_-]{0,64}$/, 'a name of 1 to 64 letters, digits, "_" or "-"')
      .optional()
      .describe(what),
    reset_context: z.boolean().optional().describe('Start that context anew.'),
  };
}

/** Refuses to start a context anew that is not named. */
export function refuseNamelessReset(
  { context, reset_context }: Pick<ProgramInput, 'context' | 'reset_context'>,
  { addIssue }: z.RefinementCtx,
): void {
  if (context !== undefined || !reset_context) return;
  addIssue({ code: 'custom', path: ['reset_context'], message: 'there is no context named; say which in "context"' });
}

/** Fields of the input of tools that run a program. */
export function programFields({ execTimeoutS, maxTimeoutS, codeLimit }: ProgramLimits) {
  return {
    session_id: sessionIdInput,
    timeout_s: z
      .number()
      .min(SHORTEST_TIMEOUT_S)
      .max(maxTimeoutS)
      .optional()
      .describe(
        `Seconds until it is ended, at most ${maxTimeoutS}; by default ${execTimeoutS}, and ${maxTimeoutS} in the background. Above 50 use background: many clients give up after 60.`,
      ),
    background: z.boolean().optional().describe('Answer at once; get_execution tells the rest.'),
    stdin_open: z.boolean().optional().describe('In the background: keep standard input open, for send_input.'),
    stdin: programText(codeLimit, 'stdin').optional().describe('Standard input, whole; empty by default.'),
    env: z
      .record(variableName, programText(ENV_LIMIT, 'a value'))
      .refine((env) => Object.keys(env).length <= MAX_VARIABLES, `at most ${MAX_VARIABLES} variables`)
      .optional()
      .describe('Environment variables to add, each "NAME=value"; an object of values by name is taken too.'),
    tools: z
      .array(z.string().max(MAX_NAME))
      .max(MAX_SERVERS)
      .optional()
      .describe('Servers whose tools the code may call (import tools); by default those that the instructions say.'),
    web: z
      .array(z.string().min(1).max(MAX_PATTERN))
      .max(MAX_PATTERNS)
      .optional()
      .describe(
        'Hosts that it may reach, such as "api.example.com", of those that the instructions name; by default all of these, and [] is none.',
      ),
  };
}

/** Returns the fields of what there is not here: servers of tools, or hosts that code may reach. Nothing is said of them. */
export function absentFields({ hasTools, hasWeb }: ProgramLimits): { tools?: true; web?: true } {
  return { ...(hasTools ? {} : { tools: true }), ...(hasWeb ? {} : { web: true }) };
}

/** Says what network there is, for descriptions of tools. */
export function describeNetwork({ hasWeb }: ProgramLimits): string {
  return hasWeb ? 'There is no network but a proxy to some hosts, set in HTTPS_PROXY.' : 'There is no network.';
}

/** Refuses variables that would not take effect in code. */
export function refuseVariables(
  { env = {}, context }: Pick<ProgramInput, 'env' | 'context'>,
  { addIssue }: z.RefinementCtx,
): void {
  for (const [name, value] of Object.entries(env)) {
    const message = whyRefused(name, value, context !== undefined);
    if (message) addIssue({ code: 'custom', path: ['env', name], message });
  }
}
