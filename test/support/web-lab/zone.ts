/** What a name is another name for, or its addresses. */
export type Answer = { readonly alias: string } | { readonly v4?: readonly string[]; readonly v6?: readonly string[] };

/** Answers of a resolver, by name: one for each time that it is asked for a kind of address, and the last one from then on. */
export type Zone = Readonly<Record<string, readonly Answer[]>>;
