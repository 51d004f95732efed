const TYPES = ['text/plain', 'application/json', 'text/html'] as const;

/** The type of `GET /` that an `Accept` header prefers. Of several with the same weight, the first in the header is chosen. */
export function prefers(accept: string): (typeof TYPES)[number] {
  const wanted = accept.split(',').map((range, at) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    return { type, weight: quality === undefined ? 1 : Number(quality) || 0, at };
  });
  wanted.sort((one, other) => other.weight - one.weight || one.at - other.at);
  for (const { type, weight } of wanted) {
    const found = TYPES.find((offered) => type === offered || type === `${offered.split('/')[0]}/*`);
    if (found && weight > 0) return found;
    if (type === '*/*') return TYPES[0];
  }
  return TYPES[0];
}
