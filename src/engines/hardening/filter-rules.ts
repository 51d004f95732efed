import type { SeccompProfile } from './seccomp.ts';

/**
 * Writes a profile as lines for `sandbox-image/hold/make-filter.c`, which says what they mean. The first is for all other
 * system calls.
 */
export function filterRules({ defaultErrnoRet, syscalls }: SeccompProfile): string {
  const lines = syscalls.flatMap(({ names, action, errnoRet, args = [] }) => {
    const what = action === 'SCMP_ACT_ALLOW' ? 'allow' : String(errnoRet ?? defaultErrnoRet);
    const comparisons = args.flatMap(({ index, value, valueTwo }) => [index, value, valueTwo]);
    return names.map((name) => [what, name, ...comparisons].join(' '));
  });
  return [`${defaultErrnoRet} *`, ...lines, ''].join('\n');
}
