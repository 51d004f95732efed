/** Checks the dependencies against scripts/dependencies/policy.ts: number, install scripts, licences, advisories. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
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
  const [{ breaches: own, summary }, page] = await Promise.all([
    checkDependencies(process.cwd()),
    checkDependencies(join(process.cwd(), 'dashboard')),
  ]);
  const breaches = [...own, ...page.breaches.map((breach) => `dashboard: ${breach}`)];
  process.stdout.write([summary, ...breaches, ''].join('\n'));
  process.exitCode = breaches.length === 0 ? 0 : 1;
}
