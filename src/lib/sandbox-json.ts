/** Pattern of an escape: a surrogate pair, a lone surrogate, or any other (an escaped backslash begins no escape). */
const ESCAPE = /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)/g;
/** Pattern of an escaped surrogate. */
const SURROGATE = /\\u[dD][89a-fA-F]/;

/**
 * Parses JSON from a sandbox into valid Unicode. Python strings may contain lone surrogates, which strict JSON readers
 * refuse in the answers. They become U+FFFD, also in field names.
 * @throws SyntaxError when the text is not JSON
 */
export function parseSandboxJson(text: string | Buffer): unknown {
  const json = text.toString('utf8');
  return JSON.parse(SURROGATE.test(json) ? json.replace(ESCAPE, wellFormed) : json);
}

function wellFormed(whole: string, loneSurrogate: string | undefined): string {
  return loneSurrogate === undefined ? whole : '\\ufffd';
}
