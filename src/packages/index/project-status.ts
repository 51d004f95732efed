/** Statuses of PEP 792, except for `active`. */
export const PROJECT_STATUSES = ['archived', 'deprecated', 'quarantined'] as const;
type Status = (typeof PROJECT_STATUSES)[number];

/** Status that an index gives to a whole project (PEP 792). Active projects, which nearly all are, have none. */
export interface ProjectStatus {
  readonly status: Status;
  /** Reason as the index gives it, on one line. */
  readonly reason?: string;
}

const MEANINGS: Readonly<Record<Status, string>> = {
  archived: 'no new versions are expected',
  deprecated: 'it is obsolete, and another package may have taken its place',
  quarantined: 'it is considered unsafe, and none of its files can be downloaded',
};
/** Characters of a reason that are kept. */
const LONGEST_REASON = 300;

/** Reads a status. Undefined for `active`, and for a status that is not known here. */
export function readProjectStatus(status: unknown, reason: unknown): ProjectStatus | undefined {
  const text = typeof status === 'string' ? status.trim().toLowerCase() : '';
  const known = PROJECT_STATUSES.find((one) => one === text);
  if (!known) return undefined;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are removed
  const words = typeof reason === 'string' ? reason.replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ').trim() : '';
  return { status: known, ...(words ? { reason: words.slice(0, LONGEST_REASON) } : {}) };
}

/** Describes the status in one sentence, for the user who installs the project. */
export function describeProjectStatus(project: string, { status, reason }: ProjectStatus): string {
  const quotedReason = reason ? ` ("${reason}")` : '';
  return `${project} is marked ${status} by its package index${quotedReason}: ${MEANINGS[status]}.`;
}
