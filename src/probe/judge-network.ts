import type { TriedAddress } from '../sandbox/assurances.ts';
import { listed } from './listed.ts';
import type { ProbeReport } from './report.ts';

/** Ends of a try that reached nobody. A refusal is none: it came from there, so bytes can go there, too. */
const NOT_REACHED: readonly string[] = [
  'silence',
  'ETIMEDOUT',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'ENETDOWN',
  'EHOSTDOWN',
  'EADDRNOTAVAIL',
  // Refused by the kernel of the sandbox itself: a protocol that it lacks, or a socket that it does not give.
  'EAFNOSUPPORT',
  'EPROTONOSUPPORT',
  'EPERM',
  'EACCES',
];

/** What a network must be: none at all, or one that leads to none of these addresses, nor to what the sandbox found. */
export interface ExpectedNetwork {
  readonly addresses?: readonly TriedAddress[];
}

export function judgeNetwork(
  { interfaces, routes, tries }: ProbeReport,
  { addresses }: ExpectedNetwork,
): string | undefined {
  if (!interfaces.includes('lo')) return 'its interfaces cannot be seen';
  const others = interfaces.filter((name) => name !== 'lo');
  if (addresses === undefined) return listed('are interfaces that are up', others) ?? listed('are ways out', routes);
  const untried = addresses.map(nameOf).filter((name) => tries[name] === undefined);
  const reached = Object.entries(tries).filter(([, end]) => !NOT_REACHED.includes(end));
  return (
    listed(
      'can be reached',
      reached.map(([name, end]) => `${name} (${end})`),
    ) ?? listed('were not tried', untried)
  );
}

/** The name of an address in a report. */
function nameOf({ protocol, host, port }: TriedAddress): string {
  return `${protocol} ${host} ${port}`;
}
