import { constants } from 'node:os';
import { GloveboxError } from '../../errors.ts';
import type { ProgramUsage, RunningProgram } from '../../execution/request.ts';
import { within } from '../../lib/deadline.ts';
import { OpenInput } from './open-input.ts';

/** Time for a sandbox to tell what a program has used, in milliseconds. A busy one may take longer, or never tell. */
const USAGE_MS = 2000;

/** Signals that a program may be sent. */
export const SIGNALS = ['INT', 'TERM', 'HUP', 'QUIT', 'KILL', 'USR1', 'USR2', 'STOP', 'CONT'] as const;
export type SignalName = (typeof SIGNALS)[number];

/** What can be done to a program while it runs in the background. */
export class ProgramControl {
  /** Its standard input, if that stays open. */
  readonly input: OpenInput | undefined;
  #program: RunningProgram | undefined;
  #hasEnded = false;

  constructor(options: { readonly isInputOpen: boolean }) {
    this.input = options.isInputOpen ? new OpenInput() : undefined;
  }

  /** Called with the program each time that it is reached. */
  readonly attach = (program: RunningProgram): void => {
    this.#program = program;
  };

  /** Records that it has ended. */
  end(): void {
    this.#hasEnded = true;
    this.#program = undefined;
    this.input?.close();
  }

  /** @throws GloveboxError `invalid_input` unless it runs */
  signal(name: SignalName): void {
    if (!this.#program) throw notNow(this.#hasEnded ? 'has ended' : 'has not begun');
    this.#program.signal(constants.signals[`SIG${name}`]);
  }

  /** What it has used so far. Undefined if it does not run, or its sandbox cannot tell in time. */
  async usage(): Promise<ProgramUsage | undefined> {
    return this.#program && (await within(USAGE_MS, this.#program.usage()));
  }

  /** @throws GloveboxError `invalid_input` if its standard input is not open, `session_busy` if it does not read */
  write(text: string): void {
    if (this.#hasEnded) throw notNow('has ended');
    if (!this.input?.isOpen) {
      throw new GloveboxError('invalid_input', 'The standard input of this execution is not open.', {
        hint: 'Start it with "background": true and "stdin_open": true, and send input before it is closed.',
      });
    }
    if (this.input.write(Buffer.from(text))) return;
    throw new GloveboxError('session_busy', 'The program has not read what it was sent before.', {
      hint: 'Wait until it reads; get_execution tells what it writes. Or cancel it.',
    });
  }
}

function notNow(why: string): GloveboxError {
  return new GloveboxError('invalid_input', `The execution ${why}.`, {
    hint: 'get_execution tells its state, list_processes what else runs.',
  });
}
