/** Who may call over HTTP: anyone, holders of a key, holders of a token of an identity provider, or of either. */
export const AUTH_KINDS = ['none', 'keys', 'jwt', 'keys,jwt'] as const;
export type AuthKind = (typeof AUTH_KINDS)[number];

/** Whether callers may send a key. */
export function takesKeys(auth: AuthKind | undefined): boolean {
  return auth === 'keys' || auth === 'keys,jwt';
}

/** Whether callers may send a token of an identity provider. */
export function takesTokens(auth: AuthKind | undefined): boolean {
  return auth === 'jwt' || auth === 'keys,jwt';
}

/** Whether there are owners: callers who say who they are. Without, all is done by one. */
export function hasOwners(auth: AuthKind | undefined): boolean {
  return auth !== undefined && auth !== 'none';
}
