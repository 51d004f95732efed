import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type EngineResult, readResults } from './engines/results.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** The page with the table. */
const PAGE = new URL('../docs/security.md', import.meta.url);
const [BEGIN, END] = ['<!-- hostile cases: written by "npm run docs:hostile" -->', '<!-- end of hostile cases -->'];

/** Files of `test/hostile`, and what they are about. */
const SUBJECTS = {
  rights: 'rights',
  kernel: 'kernel surface',
  limits: 'limits',
  floods: 'floods',
  survivors: 'survivors',
  channel: 'channel',
  files: 'files',
  packages: 'packages',
  sessions: 'sessions',
  http: 'HTTP',
  commands: 'commands',
} as const;

interface HostileCase {
  readonly subject: string;
  /** Who attacks. Example: "code that kills". */
  readonly who: string;
  /** What it does, and how that ends. */
  readonly title: string;
}

/** The cases of `test/hostile` as vitest finds them, by subject. */
export function listCases(): HostileCase[] {
  const config = '--config=scripts/hostile-titles.config.mjs';
  const args = ['list', config, '--json', '--no-static-parse', 'test/hostile'];
  const json = execFileSync('vitest', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const found = JSON.parse(json.slice(json.indexOf('['))) as { readonly name: string; readonly file: string }[];
  const subjects = Object.entries(SUBJECTS);
  const unknown = found.find(({ file }) => !(subjectOf(file) in SUBJECTS));
  if (unknown) throw new Error(`${unknown.file} has no subject in scripts/hostile-table.ts.`);
  return subjects.flatMap(([name, subject]) =>
    found
      .filter(({ file }) => subjectOf(file) === name)
      .map(({ name: title }) => {
        const at = title.indexOf(' > ');
        return { subject, who: title.slice(0, Math.max(0, at)), title: at < 0 ? title : title.slice(at + 3) };
      }),
  );
}

function subjectOf(file: string): string {
  return basename(file, '.test.ts');
}

/** The table of cases and of the engines on which they were run. */
function renderTable(cases: readonly HostileCase[], results: readonly EngineResult[]): string {
  const engines = results.filter(({ suites, refused }) => suites.hostile !== undefined && refused === undefined);
  const symbols = { held: '✓', failed: '✗', absent: '–' } as const;
  const rows = cases.map((one) => {
    const name = `${one.who} ${one.title}`.trim();
    const outcomes = engines.map(({ suites }) => suites.hostile?.find(({ title }) => title === name)?.outcome);
    return [rowOf(one), ...outcomes.map((outcome) => (outcome ? symbols[outcome] : ''))];
  });
  const head = ['subject', 'who', 'what, and how it ends', ...engines.map(({ name }) => name)];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The first cells of a case's row. */
export function rowOf({ subject, who, title }: HostileCase): string {
  return [subject, who, title].map(escapeCell).join(' | ');
}

function escapeCell(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[|<>*_`\\]/g, (character) => `\\${character}`);
}

/** The first cells of each row of the page's table. */
export function rowsOnPage(): string[] {
  const page = readFileSync(PAGE, 'utf8');
  const lines = page.slice(page.indexOf(BEGIN), page.indexOf(END)).split('\n');
  const rows = lines.filter((line) => line.startsWith('| ')).slice(2);
  return rows.map((line) =>
    line
      .slice(2)
      .split(/(?<!\\) \| ?/)
      .slice(0, 3)
      .join(' | '),
  );
}

/** Writes the table into docs/security.md. */
export function writeHostileTable(results: readonly EngineResult[]): void {
  const page = readFileSync(PAGE, 'utf8');
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < 0) throw new Error('docs/security.md has no place for the table.');
  const table = renderTable(listCases(), results);
  writeFileSync(PAGE, `${page.slice(0, from)}${BEGIN}\n\n${table}\n\n${page.slice(to)}`);
}

if (import.meta.main) writeHostileTable(readResults());
