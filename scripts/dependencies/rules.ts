import type { InstalledPackage } from './installed.ts';
import type { DependencyPolicy } from './policy.ts';

/** `allowScripts` of package.json: whose install scripts npm runs, and whose it refuses. */
export type ScriptDecisions = Readonly<Record<string, boolean>>;

/** What breaks the rules, one sentence each. */
export function findBreaches(
  packages: readonly InstalledPackage[],
  policy: DependencyPolicy,
  decisions: ScriptDecisions,
): string[] {
  return [
    ...tooManyPackages(packages, policy),
    ...installScripts(packages, decisions),
    ...foreignLicences(packages, policy),
  ];
}

function tooManyPackages(packages: readonly InstalledPackage[], { maxRuntimePackages }: DependencyPolicy): string[] {
  const count = packages.filter(({ use }) => use === 'runtime').length;
  if (count <= maxRuntimePackages) return [];
  return [
    `${count} runtime packages, at most ${maxRuntimePackages}: do without one, or raise maxRuntimePackages in scripts/dependencies/policy.ts.`,
  ];
}

/** A script that runs at installation is code that nobody asked for: none at runtime, and only named ones before. */
function installScripts(packages: readonly InstalledPackage[], decisions: ScriptDecisions): string[] {
  return packages
    .filter(({ hasInstallScript }) => hasInstallScript)
    .flatMap(({ name, version, use }) => {
      if (decisions[name] === false || (decisions[name] === true && use === 'development')) return [];
      return [
        `${name} ${version} (${use}) runs a script when it is installed: refuse it with "${name}": false in allowScripts of package.json.`,
      ];
    });
}

function foreignLicences(packages: readonly InstalledPackage[], { licences }: DependencyPolicy): string[] {
  return packages.flatMap(({ name, version, use, licence, isInstalled }) => {
    // The lockfile does not tell the licences of old packages: a platform that installs one checks it.
    if (licence === undefined ? !isInstalled : isAllowed(licence, licences[use])) return [];
    return [`${name} ${version} (${use}) has the licence ${licence ?? 'that nobody names'}, which is not on the list.`];
  });
}

/** Reads `A OR B` and `A AND B` of SPDX; expressions with inner brackets are refused. */
export function isAllowed(expression: string, allowed: readonly string[]): boolean {
  const inner = /^\(([^()]*)\)$/.exec(expression)?.[1] ?? expression;
  if (/[()]/.test(inner)) return false;
  return inner.split(' OR ').some((terms) => terms.split(' AND ').every((id) => allowed.includes(id.trim())));
}
