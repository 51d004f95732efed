import type { Finding } from '../lib/finding.ts';
import { NOT_REFUSED, PROTECTIONS, type Protection, type Shortfall } from '../sandbox/assurances.ts';
import { ADVICE } from './advice.ts';

/** What only the engine tells of a sandbox: code sees its namespaces, and not whose they are. */
const TOLD: readonly Protection[] = ['namespaces'];
/** With a kernel of its own, a sandbox does not see the limits of its machine either. */
const TOLD_BY_RUNTIME: readonly Protection[] = [...TOLD, 'memory', 'swap', 'cpu'];
/** What such a kernel decides by itself. */
const OWN_WAY: readonly Protection[] = ['oom-group'];
/** What such a kernel is there instead of: the one of the machine neither runs the code, nor tells of the machine. */
const REPLACED: readonly Protection[] = ['seccomp', 'masks'];

/**
 * Tells of each protection how it is known to be there, or that it is missing and may be.
 * @param sharesKernel whether the kernel of the engine's machine runs the code of sandboxes
 * @param advice what to do on this engine, where that differs from the usual
 */
export function tellHeld(
  missing: readonly Shortfall[],
  sharesKernel: boolean,
  advice: Partial<Readonly<Record<Protection, string>>> = {},
): readonly Finding[] {
  const applying = PROTECTIONS.filter((name) => sharesKernel || !OWN_WAY.includes(name));
  const held = applying.filter((name) => !missing.some((shortfall) => shortfall.name === name));
  const told = held.filter((name) => (sharesKernel ? TOLD : TOLD_BY_RUNTIME).includes(name));
  const replaced = held.filter((name) => !sharesKernel && REPLACED.includes(name));
  const seen = held.filter((name) => !told.includes(name) && !replaced.includes(name));
  return [
    ...finding('seen inside', seen),
    ...finding("engine's word", told),
    ...finding('own kernel', replaced, 'in place of '),
    ...missing.map(({ name, found }): Finding => {
      const next = NOT_REFUSED.includes(name) ? (advice[name] ?? ADVICE[name]) : 'GLOVEBOX_ALLOW_MISSING allows it.';
      return ['warn', `missing: ${name}`, found, next];
    }),
  ];
}

function finding(what: string, names: readonly Protection[], before = ''): Finding[] {
  return names.length === 0 ? [] : [['ok', what, `${before}${names.join(', ')}`]];
}
