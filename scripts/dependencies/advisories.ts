import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import type { InstalledPackage } from './installed.ts';
import { type DependencyPolicy, SEVERITIES, type Severity } from './policy.ts';

/** As `npm audit --json` tells them. A string in `via` names another entry of the report. */
export interface AuditReport {
  readonly vulnerabilities: Readonly<
    Record<string, { readonly via: readonly (Advisory | string)[]; readonly nodes: readonly string[] }>
  >;
}

interface Advisory {
  readonly title: string;
  readonly url: string;
  readonly severity: Severity;
}

/** Long enough for a slow registry, short enough for the check to stay under a minute. */
const TIMEOUT_MS = 30_000;

/** Asks the registry; where it does not answer, or has no advisories, the reason in words. */
export async function audit(root: string): Promise<AuditReport | string> {
  const args = ['audit', '--json', '--offline=false', '--include=dev', '--fetch-retries=0'];
  const child = spawn('npm', args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'ignore'],
    shell: process.platform === 'win32',
    timeout: TIMEOUT_MS,
  });
  const failure = new Promise<string>((resolve) => child.once('error', ({ message }) => resolve(message)));
  return await Promise.race([failure, text(child.stdout).then(parseReport)]);
}

function parseReport(output: string): AuditReport | string {
  try {
    const report = JSON.parse(output);
    if (typeof report.vulnerabilities === 'object') return report;
    return String(report.message ?? 'npm gave no report');
  } catch {
    return `npm gave no report within ${TIMEOUT_MS / 1000} s`;
  }
}

/** Advisories that are bad enough and not accepted, and accepted ones that are no longer reported. */
export function findAdvisories(
  { vulnerabilities }: AuditReport,
  packages: readonly InstalledPackage[],
  { leastSeverity, acceptedAdvisories }: DependencyPolicy,
): string[] {
  const runtime = new Set(packages.filter(({ use }) => use === 'runtime').map(({ path }) => path));
  const reported = Object.entries(vulnerabilities).flatMap(([name, { via, nodes }]) => {
    const use: 'runtime' | 'development' = nodes.some((path) => runtime.has(path)) ? 'runtime' : 'development';
    return via.filter((it) => typeof it === 'object').map((advisory) => ({ name, use, advisory }));
  });
  const isAccepted = (name: string, url: string) =>
    acceptedAdvisories.some((accepted) => accepted.package === name && url.endsWith(`/${accepted.id}`));
  const bad = reported.filter(
    ({ name, use, advisory: { severity, url } }) =>
      SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(leastSeverity[use]) && !isAccepted(name, url),
  );
  const stale = acceptedAdvisories.filter(
    ({ id, package: name }) => !reported.some((it) => it.name === name && it.advisory.url.endsWith(`/${id}`)),
  );
  return [
    ...bad.map(
      ({ name, use, advisory: { severity, title, url } }) => `${name} (${use}), ${severity}: ${title}. ${url}`,
    ),
    ...stale.map(
      ({ id, package: name }) => `${id} of ${name} is accepted but no longer reported: take it off the list.`,
    ),
  ];
}
