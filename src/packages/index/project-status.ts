/** Those of PEP 792 but `active`. */
export const PROJECT_STATUSES = ['archived', 'deprecated', 'quarantined'] as const;
type Status = (typeof PROJECT_STATUSES)[number];

/** What an index says of a whole project (PEP 792). One that is active, as nearly all are, has none. */
export interface ProjectStatus {
  readonly status: Status;
  /** In the index's own words, on one line. */
  readonly reason?: string;
}

const MEANINGS: Readonly<Record<Status, string>> = {
  archived: 'no new versions are expected',
  deprecated: 'it is obsolete, and another package may have taken its place',
  quarantined: 'it is considered unsafe, and none of its files can be had',
};
const LONGEST_REASON = 300;

/** Undefined for `active`, and for a status that is not known here. */
export function readProjectStatus(status: unknown, reason: unknown): ProjectStatus | undefined {
  const text = typeof status === 'string' ? status.trim().toLowerCase() : '';
  const known = PROJECT_STATUSES.find((one) => one === text);
  if (!known) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const words = typeof reason === 'string' ? reason.replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ').trim() : '';
  return { status: known, ...(words ? { reason: words.slice(0, LONGEST_REASON) } : {}) };
}

/** One sentence for whoever installs the project. */
export function describeProjectStatus(project: string, { status, reason }: ProjectStatus): string {
  const said = reason ? ` ("${reason}")` : '';
  return `${project} is marked ${status} by its package index${said}: ${MEANINGS[status]}.`;
}
