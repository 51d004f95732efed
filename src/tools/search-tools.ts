import { z } from 'zod';
import { pythonName } from '../broker/python-names.ts';
import type { ServerCatalog, ToolServerSummary, UpstreamTool } from '../broker/types.ts';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import type { Tool } from './tool.ts';
import { signatureOf } from './tool-signature.ts';

/** Tools that one answer has, by how much it says of each. */
const MOST = { names: 200, signatures: 40, schemas: 10 };
/** The same where words were looked for: a model reads all of it, and the best come first. */
const MOST_FOUND = { names: 40, signatures: 8, schemas: 3 };
/** Characters of a description in a list. */
const LONGEST_LINE = 200;
/** How much more a word counts in a name than in a description. */
const NAME_WEIGHT = 3;

/** Servers that code may call. */
export interface ToolServers {
  servers(owner: string): readonly ToolServerSummary[];
  catalog(owner: string, servers: readonly string[], signal: AbortSignal): Promise<readonly ServerCatalog[]>;
}

const input = z.strictObject({
  query: z.string().max(200).optional().describe('Words that describe what the tool is to do. Without it, all tools.'),
  detail: z
    .enum(['names', 'signatures', 'schemas'])
    .optional()
    .describe('How much to tell of each: its name; also its arguments and a line (default); or its whole JSON Schema.'),
  server: z.string().max(64).optional().describe('Search in this server only.'),
  session_id: z.string().optional().describe('Not needed.'),
});

const output = z.object({
  tools: z.array(
    z.object({
      name: z.string().describe('As code writes it: tools.SERVER.NAME.'),
      signature: z.string().optional(),
      description: z.string().optional(),
      input_schema: z.record(z.string(), z.unknown()).optional(),
      output_schema: z.record(z.string(), z.unknown()).optional(),
    }),
  ),
  left_out: z.number().int().optional().describe('Tools that were found, too, and are not listed.'),
  failed: z
    .array(z.object({ server: z.string(), message: z.string(), hint: z.string() }))
    .optional()
    .describe('Servers that could not tell their tools.'),
});

type Input = z.infer<typeof input>;
type Output = z.infer<typeof output>;

export function createSearchTools(servers: ToolServers): Tool<Input, Output> {
  return {
    name: 'search_tools',
    title: 'Find tools for code',
    description:
      'Find the tools that code of execute_python can call: import tools; tools.github.list_issues(repo="a/b"). For several calls, or results that the code filters or joins.',
    effect: 'reads',
    reachesOut: true,
    input,
    output,
    handle: async (asked, { caller, signal }) => {
      const names = chooseServers(servers.servers(caller.owner), asked.server);
      return search(await servers.catalog(caller.owner, names, signal), asked);
    },
    summarize,
  };
}

/** @throws GloveboxError `invalid_input` for a server that the owner does not have */
function chooseServers(servers: readonly ToolServerSummary[], name: string | undefined): readonly string[] {
  const names = servers.map((server) => server.name);
  if (name === undefined) return names;
  if (names.includes(name)) return [name];
  const meant = nearest(name, names);
  const all = names.length > 0 ? `Servers: ${names.join(', ')}.` : 'There are none for you.';
  throw new GloveboxError('invalid_input', `There is no server ${JSON.stringify(name)} of tools.`, {
    hint: `${meant ? `Did you mean "${meant}"? ` : ''}${all}`,
  });
}

interface Found {
  readonly server: string;
  readonly tool: UpstreamTool;
  readonly score: number;
}

function search(catalogs: readonly ServerCatalog[], { query = '', detail = 'signatures' }: Input): Output {
  const words = query.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const found = catalogs
    .flatMap(({ name: server, tools }) => tools.map((tool) => ({ server, tool, score: scoreOf(server, tool, words) })))
    .filter(({ score }) => words.length === 0 || score > 0)
    .sort((a, b) => b.score - a.score);
  const failed = catalogs.flatMap(({ name: server, error }) =>
    error ? [{ server, message: error.message, hint: error.hint }] : [],
  );
  const most = (words.length > 0 ? MOST_FOUND : MOST)[detail];
  const leftOut = found.length - most;
  return {
    tools: found.slice(0, most).map((one) => describe(one, detail)),
    ...(leftOut > 0 ? { left_out: leftOut } : {}),
    ...(failed.length > 0 ? { failed } : {}),
  };
}

function scoreOf(server: string, { name, description }: UpstreamTool, words: readonly string[]): number {
  const [inName, inText] = [name.toLowerCase(), `${server} ${description}`.toLowerCase()];
  const scores = words.map((word) => (inName.includes(word) ? NAME_WEIGHT : 0) + (inText.includes(word) ? 1 : 0));
  return scores.reduce((sum, score) => sum + score, 0);
}

function describe({ server, tool }: Found, detail: keyof typeof MOST): Output['tools'][number] {
  const name = `tools.${pythonName(server)}.${tool.python}`;
  if (detail === 'names') return { name };
  const { inputSchema, outputSchema, description } = tool;
  const signature = signatureOf(tool.python, inputSchema, outputSchema);
  if (detail === 'signatures') return { name, signature, description: firstLine(description) };
  const schemas = { input_schema: { ...inputSchema }, ...(outputSchema ? { output_schema: { ...outputSchema } } : {}) };
  return { name, signature, description, ...schemas };
}

function firstLine(text: string): string {
  const line = text.trim().split('\n', 1)[0] ?? '';
  return line.length > LONGEST_LINE ? `${line.slice(0, LONGEST_LINE).toWellFormed()}…` : line;
}

function summarize({ tools, left_out, failed = [] }: Output): string {
  const lines = tools.map(({ name, signature, description, input_schema, output_schema }) => {
    const shown = signature === undefined ? name : `${name.slice(0, name.lastIndexOf('.') + 1)}${signature}`;
    const schemas = [input_schema, output_schema].filter(Boolean).map((schema) => `\n  ${JSON.stringify(schema)}`);
    return `${shown}${description ? `  # ${description}` : ''}${schemas.join('')}`;
  });
  return [
    ...(lines.length > 0 ? lines : ['[none] No tool was found; search with other words, or without any.']),
    ...(left_out ? [`[left out] ${left_out} more; search with more words`] : []),
    ...failed.map(({ server, message, hint }) => `[failed] ${server}: ${message} ${hint}`),
  ].join('\n');
}
