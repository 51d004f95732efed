import type { Terminal } from '../library/terminal.ts';
import type { ClientTerminal, ClientTerminalEnd, ClientTerminalOptions } from './terminal.ts';

/** Shows a terminal of the library, which lives as long as the command does. */
export function showLocally(
  terminal: Terminal,
  { onOutput, onSkipped, signal }: Pick<ClientTerminalOptions, 'onOutput' | 'onSkipped' | 'signal'>,
): ClientTerminal {
  const { promise: ended, resolve } = Promise.withResolvers<ClientTerminalEnd | undefined>();
  const viewing = terminal.attach({ onOutput, onSkipped, onEnd: resolve });
  const leave = () => {
    viewing[Symbol.dispose]();
    terminal.close();
    resolve(undefined);
  };
  signal.addEventListener('abort', leave, { once: true });
  return {
    id: terminal.id,
    outlives: false,
    ended,
    type: (data) => terminal.type(data),
    resize: (size) => terminal.resize(size),
    leave,
  };
}
