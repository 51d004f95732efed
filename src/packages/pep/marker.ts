/** The environment markers of PEP 508, and the dotted spellings that old packages still use. */
const VARIABLES = new Set([
  'python_version',
  'python_full_version',
  'os_name',
  'sys_platform',
  'platform_release',
  'platform_system',
  'platform_version',
  'platform_machine',
  'platform_python_implementation',
  'implementation_name',
  'implementation_version',
  'extra',
  'os.name',
  'sys.platform',
  'platform.version',
  'platform.machine',
  'platform.python_implementation',
]);
const TOKEN =
  /\s*(?:(?<paren>[()])|(?<text>'[^'\r\n]*'|"[^"\r\n]*")|(?<operator>===|[<>=!~]=|[<>])|(?<word>[a-z._]+))/iy;
/** Levels of parentheses at most. */
const DEEPEST = 16;

/** Whether the text is a marker expression such as `python_version < "3.13" and os_name == "posix"`. */
export function isMarker(text: string): boolean {
  const tokens = tokenize(text);
  if (!tokens) return false;
  const reader = { tokens, at: 0 };
  return readAlternatives(reader, 0) && reader.at === tokens.length;
}

interface Reader {
  readonly tokens: readonly string[];
  at: number;
}

function tokenize(text: string): string[] | undefined {
  const tokens: string[] = [];
  const pattern = new RegExp(TOKEN);
  const end = text.trimEnd().length;
  while (pattern.lastIndex < end) {
    const match = pattern.exec(text);
    if (!match) return undefined;
    tokens.push(match[0].trim());
  }
  return tokens;
}

/** Reads comparisons joined by `and` and `or`. Their precedence does not matter for the syntax. */
function readAlternatives(reader: Reader, depth: number): boolean {
  if (depth > DEEPEST || !readOne(reader, depth)) return false;
  while (reader.tokens[reader.at] === 'and' || reader.tokens[reader.at] === 'or') {
    reader.at += 1;
    if (!readOne(reader, depth)) return false;
  }
  return true;
}

function readOne(reader: Reader, depth: number): boolean {
  if (reader.tokens[reader.at] === '(') {
    reader.at += 1;
    return readAlternatives(reader, depth + 1) && reader.tokens[reader.at++] === ')';
  }
  return readValue(reader) && readOperator(reader) && readValue(reader);
}

function readValue(reader: Reader): boolean {
  const token = reader.tokens[reader.at++];
  return token !== undefined && (/^['"]/.test(token) || VARIABLES.has(token));
}

function readOperator(reader: Reader): boolean {
  const token = reader.tokens[reader.at++];
  if (token === 'not') return reader.tokens[reader.at++] === 'in';
  return token !== undefined && (token === 'in' || /^[<>=!~]/.test(token));
}
