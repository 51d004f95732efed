/** What a token may do: run code, look at what its owner has, answer questions of code, watch over the server. */
export const SCOPES = ['run', 'read', 'approve', 'operate'] as const;
export type Scope = (typeof SCOPES)[number];

/** The name of a scope in tokens. */
export function scopeName(scope: Scope): string {
  return `glovebox:${scope}`;
}

/** Returns the scopes among names, which may be those of other servers as well. */
export function scopesAmong(names: readonly string[]): ReadonlySet<Scope> {
  return new Set(SCOPES.filter((scope) => names.includes(scopeName(scope))));
}

/** Whether scopes suffice for what needs one. Who may run code may read what it did. */
export function suffices(scopes: ReadonlySet<Scope>, needed: Scope): boolean {
  return scopes.has(needed) || (needed === 'read' && (scopes.has('run') || scopes.has('operate')));
}
