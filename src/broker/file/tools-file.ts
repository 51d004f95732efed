import { readFileSync } from 'node:fs';
import { type ParseError, parse, printParseErrorCode } from 'jsonc-parser';
import type { z } from 'zod';
import { GloveboxError } from '../../errors.ts';
import { nearest } from '../../lib/nearest.ts';
import { pythonName } from '../python-names.ts';
import { faultOfPlaceholders, secretsNamedIn } from '../secrets/placeholders.ts';
import { ENTRY_FIELDS, entrySchema, type ToolServer, toServer } from './server-entry.ts';

const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
/** Names that the module `tools` of the sandbox has for other things. */
const RESERVED = ['client', 'aio', 'map', 'search'];
const MOST_SERVERS = 100;
/** Where programs keep such servers under another name. */
const OTHER_ROOTS = ['servers', 'mcp', 'context_servers', 'mcp_servers'];
const EXAMPLE = '{"mcpServers": {"github": {"url": "https://mcp.example/github"}}}';

/**
 * Reads the file of tool servers: JSON with comments, of the form that MCP clients have.
 * @param mayStart whether servers that are commands are allowed
 * @throws GloveboxError `invalid_input` that says what is wrong and what to do, without any value of the file
 */
export function readToolsFile(path: string, mayStart: boolean): ToolServer[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new GloveboxError('invalid_input', `The file of tools ${path} cannot be read: ${reason}.`, {
      hint: 'Set GLOVEBOX_TOOLS to a file that this user can read, or unset it.',
      cause,
    });
  }
  return parseToolsFile(text, { path, mayStart });
}

interface Source {
  readonly path: string;
  readonly mayStart: boolean;
}

export function parseToolsFile(text: string, source: Source): ToolServer[] {
  const root = parseJsonc(text, source);
  const fail = failing(source);
  if (!isObject(root)) throw fail('holds no object', `Write it as ${EXAMPLE}.`);
  for (const name of Object.keys(root)) {
    if (name === 'mcpServers' || name === '$schema') continue;
    const meant = OTHER_ROOTS.includes(name) ? 'mcpServers' : nearest(name, ['mcpServers']);
    throw fail(
      `has the unknown field ${quote(name)}`,
      meant ? `Name the object of servers "mcpServers".` : `Remove it. The file has one field: ${EXAMPLE}.`,
    );
  }
  const { mcpServers } = root;
  if (!isObject(mcpServers)) throw fail('has no object "mcpServers"', `Write it as ${EXAMPLE}.`);
  const entries = Object.entries(mcpServers);
  if (entries.length > MOST_SERVERS) throw fail(`has more than ${MOST_SERVERS} servers`, 'Remove some of them.');
  const servers = entries
    .map(([name, entry]) => readEntry(name, entry, source))
    .filter((server) => server !== undefined);
  checkNames(servers, fail);
  return servers;
}

type Fail = (said: string, hint: string) => GloveboxError;

function failing({ path }: Source): Fail {
  return (said, hint) => new GloveboxError('invalid_input', `The file of tools ${path} ${said}.`, { hint });
}

function parseJsonc(text: string, source: Source): unknown {
  const errors: ParseError[] = [];
  const root: unknown = parse(text.replace(/^\uFEFF/, ''), errors, { allowTrailingComma: true });
  const [first] = errors;
  if (!first) return root;
  const before = text.slice(0, first.offset).split('\n');
  const place = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
  throw failing(source)(
    `is not JSON: ${printParseErrorCode(first.error)} at ${place}`,
    'Correct it there. Comments and trailing commas are allowed.',
  );
}

/** Undefined for a server that is switched off. */
function readEntry(name: string, entry: unknown, source: Source): ToolServer | undefined {
  const fail: Fail = (said, hint) => failing(source)(`is wrong about ${quote(name)}: ${said}`, hint);
  if (!NAME.test(name) || RESERVED.includes(pythonName(name))) {
    throw fail(
      RESERVED.includes(name) ? 'the name is taken' : 'that is no name for a server',
      `Use up to 64 letters, digits, "_" and "-", beginning with a letter, and none of ${RESERVED.join(', ')}.`,
    );
  }
  if (!isObject(entry)) throw fail('it is no object', `Write it as ${EXAMPLE}.`);
  refuseUnknown(entry, fail);
  const parsed = entrySchema.safeParse(entry);
  if (!parsed.success) throw fail(...describeIssue(parsed.error, entry));
  if (parsed.data.disabled) return undefined;
  const server = toServer(name, parsed.data);
  if ('fault' in server)
    throw fail(server.fault, 'Give it either "url" and "headers", or "command", "args" and "env".');
  checkAccess(server, source, fail);
  return server;
}

function refuseUnknown(entry: Readonly<Record<string, unknown>>, fail: Fail): void {
  for (const field of Object.keys(entry)) {
    if (ENTRY_FIELDS.includes(field)) continue;
    const near = nearest(field, ENTRY_FIELDS);
    throw fail(
      `it has the unknown field ${quote(field)}`,
      near ? `Did you mean "${near}"?` : `The fields are ${ENTRY_FIELDS.join(', ')}.`,
    );
  }
}

function describeIssue(error: z.ZodError, entry: Readonly<Record<string, unknown>>): [said: string, hint: string] {
  const [issue] = error.issues;
  const field = String(issue?.path[0] ?? '');
  // Words of a list are no secrets, and a misspelling is worth a suggestion.
  if (issue?.code === 'invalid_value') {
    const value: unknown = issue.path.length === 1 ? entry[field] : undefined;
    const near = typeof value === 'string' ? nearest(value, issue.values.map(String)) : undefined;
    const allowed = issue.values.map((one) => quote(String(one))).join(', ');
    return [`"${field}" must be one of ${allowed}`, near ? `Did you mean "${near}"?` : 'Correct it, or leave it out.'];
  }
  if (field === 'approve')
    return [
      '"approve" is neither a word nor an object of words',
      'Write "never", "writes" or "always", or an object such as {"create_*": "always", "*": "never"}.',
    ];
  return [
    `"${issue?.path.join('.')}" is not valid (${issue?.message})`,
    'Correct it. docs/tools.md has the reference.',
  ];
}

function checkAccess(server: ToolServer, { mayStart }: Source, fail: Fail): void {
  const { access } = server;
  const texts =
    access.kind === 'stdio' ? [...access.args, ...Object.values(access.env)] : Object.values(access.headers);
  const all = access.kind === 'stdio' ? texts : [access.url, ...texts];
  for (const text of all) {
    const fault = faultOfPlaceholders(text);
    if (fault) throw fail(...fault);
  }
  if (server.credentials === 'owner' && all.every((text) => secretsNamedIn(text).length === 0)) {
    throw fail(
      'its credentials are those of the owner, and it uses no secret',
      `Use one, as in "headers": {"Authorization": "Bearer \${secret:TOKEN}"}, or remove "credentials".`,
    );
  }
  if (access.kind === 'stdio') {
    if (mayStart) return;
    throw fail(
      'it is a command, which would run beside Glovebox and not in a sandbox',
      'Set GLOVEBOX_TOOLS_STDIO=1 if you trust it as you trust Glovebox, or give the server a "url".',
    );
  }
  checkUrl(access.url, fail);
  checkHeaders(access.headers, fail);
}

function checkUrl(url: string, fail: Fail): void {
  // A secret may be any text, which is looked at once it is known.
  const parsed = URL.parse(url.replace(/\$\{secret:[^}]*\}/g, 'x'));
  if (!parsed || !['http:', 'https:'].includes(parsed.protocol))
    throw fail('its url is not an http:// or https:// URL', 'Correct it.');
  if (parsed.username || parsed.password)
    throw fail('its url has a user name or password in it', 'Send them as "headers": {"Authorization": "Basic …"}.');
}

function checkHeaders(headers: Readonly<Record<string, string>>, fail: Fail): void {
  for (const [name, value] of Object.entries(headers)) {
    try {
      new Headers([[name, value]]);
    } catch {
      throw fail(`${quote(name)} cannot be a header`, 'Correct its name, and write its value on one line, in ASCII.');
    }
  }
}

function checkNames(servers: readonly ToolServer[], fail: Fail): void {
  const seen = new Map<string, string>();
  for (const { name } of servers) {
    const python = pythonName(name);
    const other = seen.get(python);
    if (other !== undefined)
      throw fail(`has ${quote(other)} and ${quote(name)}, which are the same name in Python`, 'Rename one of them.');
    seen.set(python, name);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
