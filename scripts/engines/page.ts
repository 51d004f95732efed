import { writeFileSync } from 'node:fs';
import { CATALOG } from './catalog.ts';
import type { EngineResult } from './results.ts';
import { type Line, mayRun, SUITE_NAMES, type SuiteName } from './suites.ts';

const PAGE = new URL('../../docs/engines.md', import.meta.url);

const HEADINGS: Readonly<Record<SuiteName, string>> = {
  contract: 'What the core needs of an engine',
  hardening: 'What a sandbox is made of',
  hostile: 'Hostile code',
  readme: "README's lines",
};

const SYMBOLS = { held: '✓', failed: '✗', absent: '–' } as const;

/** Writes docs/engines.md from results. */
export function writePage(results: readonly EngineResult[]): void {
  writeFileSync(PAGE, renderPage(results));
}

/** Renders the page: what each engine is, what failed, and every line of every engine. */
export function renderPage(results: readonly EngineResult[]): string {
  const used = results.filter(({ refused }) => refused === undefined);
  return [
    '# Engines',
    '',
    'Made by `npm run engines`, which sets each engine up from packages in namespaces of its own and runs the tests of',
    'this repository on it. What no release of Debian has (moby) is built by Go. Those with control groups of version 2 run',
    'in [an emulated machine](decisions/emulated-machine.md). Do not edit by hand.',
    '',
    ...table(
      ['engine', ...SUITE_NAMES.map((name) => HEADINGS[name]), 'versions', 'control groups', 'kernel', 'date'],
      results.map((result) => [
        `${result.title} (\`${result.name}\`)`,
        ...SUITE_NAMES.map((name) => cellOf(result, name)),
        ...[result.versions, `v${result.cgroupVersion}`, result.kernel, result.date],
      ]),
    ),
    '',
    'Counted are the lines that held, of those that apply. An engine that is refused serves nobody: Glovebox says why, and',
    'does not start. Where something is missing that `GLOVEBOX_ALLOW_MISSING` allows, tests that take what a limit is to keep',
    'from them did not run.',
    '',
    '**Not tried:** with control groups of version 2, whatever is blank below and engines that have no line; other',
    'processors than x86-64; Docker Desktop and its relatives; hosts with SELinux or AppArmor.',
    ...results.flatMap((result) => [...renderShortfalls(result), ...renderMissing(result)]),
    '',
    '## Every line',
    '',
    '✓ held, ✗ did not hold, – does not apply to that engine or is what its sandboxes lack, blank: not run.',
    'Hostile code, case by case, is in [Security](security.md#hostile-code-case-by-case).',
    ...SUITE_NAMES.filter((name) => name !== 'hostile').flatMap((name) => renderSuite(name, used)),
    '',
  ].join('\n');
}

/** What the table has of a subject. */
function cellOf({ refused, missing, suites }: EngineResult, name: SuiteName): string {
  if (refused !== undefined) return 'refused';
  return missing && !mayRun(name, missing) ? 'allowed by name' : count(suites[name]);
}

function renderMissing({ title, missing = [] }: EngineResult): string[] {
  if (missing.length === 0) return [];
  const names = missing.map(({ name }) => name).join(',');
  const found = missing.map((one) => `- \`${one.name}\`: ${one.found}`);
  return ['', `## ${title}: allowed by name`, '', `With \`GLOVEBOX_ALLOW_MISSING=${names}\`. Missing:`, '', ...found];
}

function renderShortfalls({ title, name, refused, suites }: EngineResult): string[] {
  const missing = CATALOG.find((entry) => entry.name === name)?.missing ?? [];
  const failed = SUITE_NAMES.flatMap((suite) => (suites[suite] ?? []).filter(({ outcome }) => outcome === 'failed'));
  if (refused !== undefined) return ['', `## ${title}: refused`, '', `> ${refused}`];
  return [
    ...(missing.length > 0 ? ['', `## ${title}: what sandboxes lack`, '', ...missing.map((line) => `- ${line}`)] : []),
    ...(failed.length > 0 ? renderFailed(title, name, failed) : []),
  ];
}

function renderFailed(title: string, name: string, failed: readonly Line[]): string[] {
  return [
    ...['', `## ${title}: what did not hold`, '', `From \`npm run engines -- ${name}\`:`, ''],
    ...failed.map((line) => `- ${line.title}: ${inline(line.why ?? '')}`),
  ];
}

function renderSuite(suite: SuiteName, results: readonly EngineResult[]): string[] {
  const titles = new Set(results.flatMap(({ suites }) => (suites[suite] ?? []).map(({ title }) => title)));
  if (titles.size === 0) return [];
  const rows = [...titles].map((title) => [
    cell(title),
    ...results.map(({ suites }) => {
      const line = suites[suite]?.find((one) => one.title === title);
      return line ? SYMBOLS[line.outcome] : '';
    }),
  ]);
  return ['', `### ${HEADINGS[suite]}`, '', ...table(['line', ...results.map(({ name }) => name)], rows)];
}

function count(lines: readonly Line[] | undefined): string {
  if (!lines) return '';
  const apply = lines.filter(({ outcome }) => outcome !== 'absent');
  return `${apply.filter(({ outcome }) => outcome === 'held').length} of ${apply.length}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

/** Longest title of a line on the page. */
const TITLE_LIMIT = 140;

function cell(text: string): string {
  const line = text.replace(/^the contract of an engine: \w+ /, '').replace(/\s+/g, ' ');
  const short = line.length > TITLE_LIMIT ? `${line.slice(0, TITLE_LIMIT)}…` : line;
  return short.replace(/[|<>]/g, (character) => `\\${character}`);
}

function inline(text: string): string {
  return `\`${text.replace(/`/g, "'").replace(/\s+/g, ' ')}\``;
}
