/** Most items of a list that are told. */
const MOST_LISTED = 5;

/** Tells of a list what its items do or are. Undefined if it has none. */
export function listed(what: string, items: readonly string[]): string | undefined {
  return items.length === 0 ? undefined : `${items.slice(0, MOST_LISTED).join(', ')} ${what}`;
}
