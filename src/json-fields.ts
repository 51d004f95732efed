/** What is between two marks that matter. */
const PLAIN = /[^"{}[\]]*/y;

/**
 * A field that an object in a JSON text has twice; undefined when none has. `JSON.parse` keeps the last in silence,
 * and a reader before us may have kept the first.
 * @param text is known to be JSON
 */
export function repeatedField(text: string): string | undefined {
  /** Names of the fields of each object under way; undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  for (let at = nextMark(text, 0); at < text.length; at = nextMark(text, at + 1)) {
    const char = text[at];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(undefined);
    else if (char !== '"') open.pop();
    else {
      const end = endOfString(text, at);
      const fields = open.at(-1);
      if (fields && isName(text, end)) {
        const name = nameOf(text.slice(at, end + 1));
        if (fields.has(name)) return name;
        fields.add(name);
      }
      at = end;
    }
  }
  return undefined;
}

function nextMark(text: string, from: number): number {
  PLAIN.lastIndex = from;
  PLAIN.test(text);
  return Math.max(PLAIN.lastIndex, from);
}

function isName(text: string, end: number): boolean {
  let at = end + 1;
  while (' \t\r\n'.includes(text.charAt(at)) && at < text.length) at += 1;
  return text[at] === ':';
}

function nameOf(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}

function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  for (;;) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return end;
    end = text.indexOf('"', end + 1);
  }
}
