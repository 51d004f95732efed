import { GloveboxError } from '../errors.ts';
import { badSize, isSize } from '../terminals/session-terminals.ts';
import type { Terminal as CoreTerminal } from '../terminals/terminal.ts';
import type { TerminalEnd, TerminalSize } from '../terminals/viewer.ts';

export type { TerminalRequest as TerminalOptions } from '../terminals/terminal.ts';
export type { TerminalEnd, TerminalSize } from '../terminals/viewer.ts';

/** Receives what a terminal prints. */
export interface TerminalViewer {
  /** Takes bytes, in order. The next ones wait for a returned promise; who is too slow skips some. */
  readonly onOutput: (bytes: Uint8Array) => void | Promise<void>;
  /** Called in its place among the output with the number of bytes that were skipped. */
  readonly onSkipped?: ((bytes: number) => void) | undefined;
  /** Called once, after all output, when the terminal has ended. */
  readonly onEnd?: ((end: TerminalEnd) => void) | undefined;
}

/** A PTY in a session, with a shell or another program. It goes on when nobody looks at it. */
export class Terminal {
  readonly #core: CoreTerminal;

  /** @internal */
  constructor(core: CoreTerminal) {
    this.#core = core;
  }

  get id(): string {
    return this.#core.id;
  }

  /** How it ended. Undefined while it goes on. */
  get end(): TerminalEnd | undefined {
    return this.#core.end;
  }

  /** Shows it to a viewer, first the output that is kept, until disposed of. */
  attach({ onOutput, onSkipped, onEnd }: TerminalViewer): Disposable {
    return this.#core.attach({
      send: async (bytes) => void (await onOutput(bytes)),
      tell: (message) => {
        if (message.type === 'skipped') onSkipped?.(message.bytes);
        else if (message.type === 'ended') onEnd?.({ exitCode: message.exit_code, reason: message.reason });
      },
    });
  }

  /** Types. Resolves when there is room for more. */
  async type(input: string | Uint8Array): Promise<void> {
    if (typeof input !== 'string' && !(input instanceof Uint8Array))
      throw new GloveboxError('invalid_input', 'What is typed is no text and no bytes.', {
        hint: "Write terminal.type('ls\\r').",
      });
    await this.#core.type(Buffer.from(input));
  }

  /** @throws GloveboxError `invalid_input` for a size that no terminal has */
  resize(size: TerminalSize): void {
    if (!isSize(size)) throw badSize();
    this.#core.resize(size);
  }

  /** Has it end, as if its window was closed, then by ever stronger means. */
  close(): void {
    this.#core.close('closed');
  }
}
