import { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import { SIGNALS } from '../../sessions/processes/program-control.ts';
import { programText } from '../common-fields.ts';
import type { Tool } from '../tool.ts';

const executionId = z.string().min(1).max(256).describe('As execute_python or run_command gave it.');
const notNeeded = z.string().optional().describe('Not needed.');

/** Bytes of input in one call. */
const MOST_INPUT = 1024 * 1024;

const inputInput = z.strictObject({
  execution_id: executionId,
  session_id: notNeeded,
  text: programText(MOST_INPUT, 'the text')
    .optional()
    .describe('What it reads next, with a newline at the end of a line.'),
  close: z.boolean().optional().describe('Then let it find the end of its input.'),
});
const inputOutput = z.object({ execution_id: z.string(), sent_bytes: z.number().int(), closed: z.boolean() });

export const sendInput: Tool<z.infer<typeof inputInput>, z.infer<typeof inputOutput>> = {
  name: 'send_input',
  title: 'Send input to a program',
  description: 'Add to the standard input of a background execution that was begun with stdin_open.',
  effect: 'adds',
  input: inputInput,
  output: inputOutput,
  handle: async ({ execution_id, text = '', close = false }, { sessions, caller, signal }) => {
    if (text === '' && !close) {
      throw new GloveboxError('invalid_input', 'There is nothing to send.', { hint: 'Give "text", or "close": true.' });
    }
    using held = await sessions.holdBackground(caller.owner, execution_id, signal);
    if (text !== '') held.execution.write(text);
    if (close) held.execution.closeInput();
    return { execution_id, sent_bytes: Buffer.byteLength(text), closed: close };
  },
  summarize: ({ execution_id, sent_bytes, closed }) =>
    `[sent] ${sent_bytes} bytes to ${execution_id}${closed ? ', and closed its input' : ''}`,
};

const signalInput = z.strictObject({
  execution_id: executionId,
  session_id: notNeeded,
  signal: z.enum(SIGNALS).describe('INT is Ctrl-C; TERM asks it to end.'),
});
const signalOutput = z.object({ execution_id: z.string(), signal: z.enum(SIGNALS) });

export const sendSignal: Tool<z.infer<typeof signalInput>, z.infer<typeof signalOutput>> = {
  name: 'send_signal',
  title: 'Send a signal to a program',
  description: 'Send a signal to a background execution and what it has started. cancel_execution ends it surely.',
  effect: 'changes',
  input: signalInput,
  output: signalOutput,
  handle: async ({ execution_id, signal: name }, { sessions, caller, signal }) => {
    using held = await sessions.holdBackground(caller.owner, execution_id, signal);
    held.execution.signal(name);
    return { execution_id, signal: name };
  },
  summarize: ({ execution_id, signal }) => `[sent] SIG${signal} to ${execution_id}`,
};
