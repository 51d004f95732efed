import type { ExpectedSandbox } from '../sandbox/assurances.ts';
import { listed } from './listed.ts';
import type { ProbeReport } from './report.ts';

/** States of a process that goes on as it was: running, or waiting. */
const ALIVE: readonly string[] = ['R', 'S', 'D', 'I'];

/**
 * Code may neither end nor read the main process: because that has another user, or because it withstands. A kernel of its
 * own may show the variables of the main process, of which none is a secret.
 */
export function judgeMainProcess(report: ProbeReport, expected: ExpectedSandbox): string | undefined {
  const isShown = (what: string) => !expected.sharesKernel && what === 'environ';
  const reached = report.others.filter(({ done }) => !done.every(isShown));
  const others = listed(
    'are in reach',
    reached.map(({ process, done }) => `process ${process} (${done.join(', ')})`),
  );
  if (expected.sharesUser) return judgeSameUser(report, isShown) ?? others;
  if (report.others.length === 0) return 'the main process cannot be seen, or has the user of the code';
  return others;
}

function judgeSameUser({ main }: ProbeReport, isShown: (what: string) => boolean): string | undefined {
  if (!main || main.uid === null) return 'the main process cannot be seen';
  const reached = main.done.filter((what) => !isShown(what));
  if (reached.length > 0) return `the main process is in reach (${reached.join(', ')})`;
  if (main.state !== null && ALIVE.includes(main.state)) return undefined;
  return `signals of the code reach the main process (state ${main.state || 'unknown'})`;
}
