import { z } from 'zod';
import { codeText } from './code-text.ts';
import { programText } from './common-fields.ts';
import { type ExecutionOutput, executionOutput, summarizeExecution } from './execution-output.ts';
import {
  absentFields,
  contextFields,
  describeNetwork,
  ENV_LIMIT,
  type ProgramLimits,
  programFields,
  refuseNamelessReset,
  refuseVariables,
} from './programs/program-fields.ts';
import { holdProgram, runProgram } from './programs/run-program.ts';
import type { Tool } from './tool.ts';

const MAX_ARGUMENTS = 256;

function inputSchema(limits: ProgramLimits): z.ZodType<Input> {
  return fullSchema(limits).omit(absentFields(limits));
}

function fullSchema(limits: ProgramLimits) {
  const { session_id, timeout_s, background, stdin, stdin_open, env, tools, web } = programFields(limits);
  return z.strictObject({
    code: programText(limits.codeLimit, 'the code')
      .refine((code) => codeText(code).trim() !== '', 'there is no code in it; send at least one statement')
      .describe('Python source, run as a script would be. Print what you want to see.'),
    session_id,
    ...contextFields('Name of an interpreter that keeps its variables for later calls, as a notebook does.'),
    timeout_s,
    background,
    stdin,
    stdin_open,
    args: z
      .array(programText(ENV_LIMIT, 'an argument'))
      .max(MAX_ARGUMENTS)
      .optional()
      .describe('Arguments of the script, for sys.argv[1:].'),
    env,
    tools,
    web,
  });
}

type Input = z.infer<ReturnType<typeof fullSchema>>;

export function createExecutePython(limits: ProgramLimits): Tool<Input, ExecutionOutput> {
  return {
    name: 'execute_python',
    title: 'Run Python',
    description: describe(limits),
    effect: 'changes',
    takesInput: true,
    maybeTask: true,
    input: inputSchema(limits)
      .superRefine(refuseNamelessReset)
      .refine(({ context, args = [] }) => context === undefined || args.length === 0, {
        path: ['args'],
        error: 'a context has no arguments; leave out "context", or "args"',
      })
      .superRefine(refuseVariables),
    output: executionOutput,
    handle: async ({ code, ...input }, context) => await runProgram(codeText(code), input, context),
    hold: async ({ code, ...input }, context, tools) => await holdProgram(codeText(code), input, context, tools),
    summarize: summarizeExecution,
  };
}

function describe(limits: ProgramLimits): string {
  const { execTimeoutS, maxTimeoutS, memoryMb } = limits;
  return [
    'Run Python code in an isolated sandbox and get its output.',
    'Without context each call is a new process, as by `python script.py`; with context: "name", variables persist between calls.',
    'Files in /workspace (the working directory) persist within the session: pass session_id to later calls.',
    'Besides what is printed, the last expression, display(), DataFrames, plots and images come back as results.',
    `${describeNetwork(limits)} Limits: ${execTimeoutS} s (timeout_s: up to ${maxTimeoutS}), ${memoryMb} MB of memory; long jobs: background.`,
    'status "ok" means exit code 0. On "error" read `error`, correct the code and call again; on "timeout" do less or raise timeout_s;',
    'on "out_of_memory" use less memory; on "crashed" look at stderr.',
  ].join(' ');
}
