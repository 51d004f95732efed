import { GloveboxError } from '../errors.ts';
import type { RunningProgram } from '../execution/request.ts';
import type { Channel } from '../protocol/channel.ts';
import type { ChannelExecution } from '../protocol/channel-execution.ts';

/** Error for a program that its context cannot run. */
export function isOtherKind(kind: 'shell' | 'interpreter'): GloveboxError {
  const runs = kind === 'shell' ? 'a shell, which runs commands' : 'a Python interpreter, which runs code';
  return new GloveboxError('invalid_input', `The context of this name is ${runs} only.`, {
    hint: 'Use another name, or start the context anew with "reset_context": true, which ends what it has.',
  });
}

/** The program of an execution. */
export function toProgram(channel: Channel, execution: ChannelExecution): RunningProgram {
  return {
    signal: (number) => passSignal(channel, execution, number),
    usage: async () => (channel.tellsUsage ? await execution.usage() : undefined),
  };
}

/** Sends a signal to a program. @throws GloveboxError `invalid_input` if its runner cannot */
function passSignal(channel: Channel, execution: ChannelExecution, number: number): void {
  if (channel.passesSignals) execution.signal(number);
  else
    throw new GloveboxError(
      'invalid_input',
      'The sandbox was started by an earlier version, which passes no signals.',
      {
        hint: 'Cancel the execution instead, or use another session.',
      },
    );
}
