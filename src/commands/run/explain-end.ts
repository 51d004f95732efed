import type { Client, ProgramEnd } from '../../client/client.ts';

/** What to do about an exception, by its name. A result names tools, which a command line does not have. */
const ADVICE: Readonly<Record<string, string>> = {
  ModuleNotFoundError: 'a package is installed for the program with --with NAME',
  FileNotFoundError: 'a file of this machine is in the sandbox with --file PATH',
  EOFError: 'what is piped into the command is the standard input of the program; a terminal is not',
};

/** Returns lines on how a program ended, if it did not end by itself, and on what its session lost. */
export function explainEnd(end: ProgramEnd, { isServer }: Pick<Client, 'isServer'>): string[] {
  const { reset } = end;
  const lost =
    reset && reset.lost.length > 0 ? [`the session lost its ${reset.lost.join(', ')} (${reset.reason})`] : [];
  return [...explainStatus(end, isServer), ...lost];
}

function explainStatus({ status, signal, error, limit }: ProgramEnd, isServer: boolean): string[] {
  switch (status) {
    case 'ok':
    case 'cancelled':
      return [];
    case 'error': {
      const advice = error && Object.hasOwn(ADVICE, error.name) ? ADVICE[error.name] : undefined;
      return advice === undefined ? [] : [advice];
    }
    case 'timeout':
      return [`ended at its time limit${limit ? ` of ${limit.value} s` : ''}; --timeout SECONDS gives it more`];
    case 'out_of_memory': {
      const more = isServer ? 'GLOVEBOX_MEMORY_MB of the server gives it more' : '--memory gives it more';
      return [`ended, because it needed more than its ${limit ? `${limit.value} MiB of ` : ''}memory; ${more}`];
    }
    case 'crashed':
      return [`it crashed${signal === undefined ? '' : `: ${signal}`}`];
  }
}
