import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Option of a program whose runs can be told apart, and repeated, by a seed. */
export const SEED = { type: 'string', default: String(Date.now() % 1_000_000) } as const;

/** As `parseArgs` gives them. */
type Values<Options extends ParseArgsOptionsConfig> = ReturnType<typeof parseArgs<{ options: Options }>>['values'];

/** Reads what a program of this folder is asked for. Its signal is aborted when the process is told to stop. */
export function openProgram<const Options extends ParseArgsOptionsConfig>(
  usage: string,
  options: Options,
): { readonly values: Values<Options>; readonly signal: AbortSignal } {
  if (process.argv.slice(2).some((argument) => argument === '--help' || argument === '-h')) {
    process.stdout.write(usage);
    process.exit();
  }
  const { values } = parseArgs({ options });
  const stop = new AbortController();
  for (const signal of SIGNALS) process.on(signal, () => stop.abort());
  return { values, signal: stop.signal };
}

/** Ends the process after a run, which tells whether all was as it must be. */
export async function endAfter(run: Promise<boolean>): Promise<never> {
  // Connections that are kept open would hold the process.
  process.exit((await run) ? 0 : 1);
}
