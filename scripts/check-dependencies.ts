/** Checks the dependencies against scripts/dependencies/policy.ts: number, install scripts, licences, advisories. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { audit, findAdvisories } from './dependencies/advisories.ts';
import { readPackages, sizeOf } from './dependencies/installed.ts';
import { type DependencyPolicy, POLICY } from './dependencies/policy.ts';
import { findBreaches } from './dependencies/rules.ts';

export interface DependencyCheck {
  readonly breaches: readonly string[];
  readonly summary: string;
}

export async function checkDependencies(root: string, policy: DependencyPolicy = POLICY): Promise<DependencyCheck> {
  const packages = readPackages(root);
  const { allowScripts = {} } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const report = await audit(root);
  const isChecked = typeof report !== 'string';
  const runtime = packages.filter(({ use }) => use === 'runtime');
  const megabytes = (sizeOf(root, runtime) / 1e6).toFixed(1);
  return {
    breaches: [
      ...findBreaches(packages, policy, allowScripts),
      ...(isChecked ? findAdvisories(report, packages, policy) : []),
    ],
    summary: [
      `${runtime.length} runtime packages of at most ${policy.maxRuntimePackages}, ${megabytes} MB`,
      isChecked ? 'advisories checked' : `advisories not checked (${report})`,
    ].join('; '),
  };
}

if (import.meta.main) {
  const others = ['dashboard', 'website'];
  const [own, ...rest] = await Promise.all(['.', ...others].map((folder) => checkDependencies(resolve(folder))));
  const breaches = [
    ...(own?.breaches ?? []),
    ...rest.flatMap((check, index) => check.breaches.map((breach) => `${others[index]}: ${breach}`)),
  ];
  process.stdout.write([own?.summary, ...breaches, ''].join('\n'));
  process.exitCode = breaches.length === 0 ? 0 : 1;
}
