export interface Row {
  readonly name: string;
  /** By step: `yes`, or what happened instead; `- ` and a reason where the client has no means for it. */
  readonly outcomes: Readonly<Record<string, string>>;
  /** Why it could not be installed or started. */
  readonly skipped?: string;
}

const COLUMNS = ['list', 'run', 'session', 'progress', 'picture', 'error', 'null', 'resources', 'cancel', 'install'];
const SLOW_COLUMNS = ['silence', 'patient'];
const LONGEST_NOTE = 200;

/** The rows as Markdown: a table of marks, then a line for each that is no plain yes. */
export function renderTable(rows: readonly Row[], inAll: number): string {
  const ran = rows.filter(({ skipped }) => skipped === undefined);
  const hasSilence = rows.some(({ outcomes }) => SLOW_COLUMNS.some((column) => column in outcomes));
  const columns = hasSilence ? [...COLUMNS, ...SLOW_COLUMNS] : COLUMNS;
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const marks = ran.map(({ name, outcomes }) => line([name, ...columns.map((column) => mark(outcomes[column]))]));
  const notes = ran.flatMap(({ name, outcomes }) =>
    columns.filter((column) => mark(outcomes[column]) !== 'yes').map((column) => note(name, column, outcomes[column])),
  );
  const skipped = rows.filter((row) => row.skipped !== undefined).map((row) => note(row.name, 'skipped', row.skipped));
  return [
    line(['client', ...columns]),
    line(['---', ...columns.map(() => '---')]),
    ...marks,
    '',
    `${ran.length} of ${inAll} clients driven, ${inAll - ran.length} not.`,
    '',
    ...[...notes, ...skipped],
    '',
  ].join('\n');
}

function mark(outcome = '- not run'): string {
  if (outcome === 'yes') return 'yes';
  return outcome.startsWith('- ') ? '–' : 'no';
}

function note(name: string, column: string, outcome = 'not run'): string {
  const said = outcome
    .replace(/^- /, '')
    .replace(/\s+/g, ' ')
    .replace(/[|<>`]/g, "'")
    .trim()
    .slice(0, LONGEST_NOTE);
  return `- ${name}, ${column}: ${said}`;
}
