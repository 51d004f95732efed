import { z } from 'zod';
import { LONGEST_ARGUMENT, whyInvalidCommand } from '../../execution/program.ts';
import { parseJson } from '../../lib/json-input.ts';
import { programText } from '../common-fields.ts';
import { type ExecutionOutput, executionOutput, summarizeExecution } from '../execution-output.ts';
import type { Tool } from '../tool.ts';
import {
  absentFields,
  contextFields,
  type ProgramLimits,
  programFields,
  refuseNamelessReset,
} from './program-fields.ts';
import { holdProgram, runProgram } from './run-program.ts';

const MAX_ARGUMENTS = 4096;
const LONGEST_FOLDER = 4096;

/** Output of `run_command`: that of code, without what only Python has. */
const commandOutput = executionOutput.omit({ results: true }).extend({
  error: executionOutput.shape.error.describe('Why the command could not be run.'),
});

const wordList = z.array(z.string());

function inputSchema(limits: ProgramLimits): z.ZodType<Input> {
  return fullSchema(limits).omit(absentFields(limits));
}

function fullSchema(limits: ProgramLimits) {
  return z.strictObject({
    command: z
      .union([
        programText(limits.codeLimit, 'the command'),
        z
          .array(programText(LONGEST_ARGUMENT, 'an argument'))
          // A bound of the schema would be told as "invalid input" of both alternatives.
          .refine((words) => words.length <= MAX_ARGUMENTS, `at most ${MAX_ARGUMENTS} arguments; send more in a file`)
          .refine(
            (words) => words.reduce((sum, word) => sum + Buffer.byteLength(word), 0) <= limits.codeLimit,
            `the arguments together are longer than ${limits.codeLimit} bytes; send less, or have the command read it from a file`,
          ),
      ])
      .describe('A command line for bash; or a list of a program and its arguments, run without a shell.'),
    ...programFields(limits),
    ...contextFields('Name of a shell that keeps its folder, variables, functions and jobs for later calls.'),
    cwd: programText(LONGEST_FOLDER, 'cwd').optional().describe('Folder to run in, relative to /workspace.'),
  });
}

type Input = z.infer<ReturnType<typeof fullSchema>>;

export function createRunCommand(limits: ProgramLimits): Tool<Input, ExecutionOutput> {
  return {
    name: 'run_command',
    title: 'Run a command',
    description: describe(limits),
    effect: 'changes',
    takesInput: true,
    maybeTask: true,
    input: inputSchema(limits)
      .superRefine(refuseNamelessReset)
      .superRefine(({ command, cwd }, { addIssue }) => {
        const message = whyInvalidCommand({ command: readCommand(command), cwd });
        if (message !== undefined) addIssue({ code: 'custom', path: ['command'], message });
      }),
    output: commandOutput,
    handle: async ({ command, cwd, ...input }, context) =>
      await runProgram({ command: readCommand(command), cwd }, input, context),
    hold: async ({ command, cwd, ...input }, context, tools) =>
      await holdProgram({ command: readCommand(command), cwd }, input, context, tools),
    summarize: summarizeExecution,
  };
}

/** A list that came as its JSON text is a list: as a command line it would name a program that begins with a bracket. */
function readCommand(command: Input['command']): Input['command'] {
  if (typeof command !== 'string' || !/^\s*\[\s*"/.test(command)) return command;
  try {
    return wordList.parse(parseJson(command));
  } catch {
    return command;
  }
}

function describe({ execTimeoutS, memoryMb }: ProgramLimits): string {
  return [
    'Run a command in the sandbox, with the files, packages and limits of execute_python.',
    'Text is a command line for bash; a list is a program and its arguments, which no shell looks at.',
    `Each call is a new process in /workspace (with context: "name", a shell that stays), of ${execTimeoutS} s (timeout_s) and ${memoryMb} MB; what it starts ends with it, so use background for long jobs.`,
    'status "ok" means exit code 0; on "error" read stderr, and `error` if the command could not be run.',
  ].join(' ');
}
