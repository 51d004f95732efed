/** An escape of two halves, of one half, or any other, so that a backslash that is escaped itself begins none. */
const ESCAPE = /\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)/g;
const HALF = /\\u[dD][89a-fA-F]/;

/**
 * The value of JSON that a sandbox has sent, in valid Unicode: Python's strings may hold half a surrogate pair, which
 * strict readers of our own answers refuse. Such a half becomes U+FFFD, in names of fields too.
 * @throws SyntaxError when it is no JSON
 */
export function parseSandboxJson(text: string | Buffer): unknown {
  const json = text.toString('utf8');
  return JSON.parse(HALF.test(json) ? json.replace(ESCAPE, wellFormed) : json);
}

function wellFormed(whole: string, half: string | undefined): string {
  return half === undefined ? whole : '\\ufffd';
}
