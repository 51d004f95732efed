import type { ToolServer } from '../file/server-entry.ts';
import { pythonNames } from '../python-names.ts';
import { cleanText } from '../results/clean-text.ts';
import { type JsonObject, ToolFailure, type UpstreamTool } from '../types.ts';
import type { ListedTool } from '../upstream/connection.ts';
import { matcherOf } from './globs.ts';
import { hashOf, type Pins } from './pins.ts';

/** Tools of one server. */
const MOST_TOOLS = 1000;
/** Characters of the name of a tool. */
const NAME_LIMIT = 128;
const DESCRIPTION_LIMIT = 4000;
/** Characters of a schema as JSON. */
const SCHEMA_LIMIT = 64_000;
/** Levels of a schema. */
const SCHEMA_DEPTH = 40;
const NO_SCHEMA: JsonObject = { type: 'object' };

/** A tool that may be called, and what the operator must know of it. */
export interface CatalogTool extends UpstreamTool {
  /** As the server says it. */
  readonly listed: ListedTool;
  /** Hash of all that the server says of it. */
  readonly hash: string;
  /** Whether that is another than it was first, or than the operator's file says. */
  readonly isChanged: boolean;
}

export interface Catalog {
  readonly tools: ReadonlyMap<string, CatalogTool>;
  /** Names that the server has and the operator's file does not allow. */
  readonly denied: ReadonlySet<string>;
  /** Why some tools were left out. */
  readonly leftOut: readonly string[];
}

/** Makes the catalog of what a server lists. @param scrub removes secrets from a value */
export function catalogOf(
  server: ToolServer,
  listed: readonly ListedTool[],
  pins: Pins,
  scrub: (value: unknown) => unknown,
): Catalog {
  const isAllowed = matcherOf(server.allow);
  const isDenied = matcherOf(server.deny);
  const leftOut: string[] = [];
  const denied = new Set<string>();
  const allowed = new Map<string, ListedTool>();
  for (const tool of listed) {
    const fault = faultOf(tool);
    if (fault) leftOut.push(fault);
    else if (!isAllowed(tool.name) || isDenied(tool.name)) denied.add(tool.name);
    else if (!allowed.has(tool.name)) allowed.set(tool.name, tool);
  }
  if (allowed.size > MOST_TOOLS) throw tooMany(server.name, allowed.size);
  const hashes = new Map([...allowed].map(([name, tool]) => [name, hashOf(tool)]));
  const changed = pins.changedOf(server.name, hashes, server.pin);
  const python = pythonNames([...allowed.keys()]);
  const tools = [...allowed.values()].map((tool, index) => ({
    ...describe(server, tool, scrub),
    listed: tool,
    python: python[index] ?? '',
    hash: hashes.get(tool.name) ?? '',
    isChanged: changed.has(tool.name),
  }));
  return { tools: new Map(tools.map((tool) => [tool.name, tool])), denied, leftOut };
}

/** Why a tool cannot be offered. */
function faultOf({ name, inputSchema, outputSchema }: ListedTool): string | undefined {
  const shown = JSON.stringify(cleanText(name, NAME_LIMIT));
  if (name === '' || name.length > NAME_LIMIT || cleanText(name, NAME_LIMIT) !== name)
    return `${shown} is no name for a tool`;
  for (const schema of [inputSchema, outputSchema]) {
    if (depthOf(schema) > SCHEMA_DEPTH || JSON.stringify(schema ?? null).length > SCHEMA_LIMIT)
      return `the schema of ${shown} is too large`;
  }
  return undefined;
}

function depthOf(value: unknown, depth = 0): number {
  if (typeof value !== 'object' || value === null || depth > SCHEMA_DEPTH) return depth;
  return Object.values(value).reduce<number>((most, item) => Math.max(most, depthOf(item, depth + 1)), depth);
}

function describe(
  server: ToolServer,
  { name, title, description, inputSchema, outputSchema, annotations }: ListedTool,
  scrub: (value: unknown) => unknown,
) {
  const said = description ?? title ?? annotations?.title ?? '';
  const output = outputSchema && schemaOf(outputSchema, scrub);
  return {
    name,
    description: cleanText(String(scrub(said)), DESCRIPTION_LIMIT),
    inputSchema: schemaOf(inputSchema, scrub),
    ...(output ? { outputSchema: output } : {}),
    // What a server says of itself counts if the operator trusts it.
    writes: !(server.trusted && annotations?.readOnlyHint === true),
  };
}

function schemaOf(schema: unknown, scrub: (value: unknown) => unknown): JsonObject {
  const clean = cleaned(scrub(schema));
  return isObject(clean) ? clean : NO_SCHEMA;
}

/** A schema whose texts for people are cleaned. Names and values must stay what they are. */
function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleaned);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const isText = typeof item === 'string' && ['description', 'title', '$comment'].includes(name);
      return [name, isText ? cleanText(item, DESCRIPTION_LIMIT) : cleaned(item)];
    }),
  );
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function tooMany(server: string, count: number): ToolFailure {
  const hint = 'The operator allows fewer with "allow" and "deny".';
  return new ToolFailure('limit', `${server} has ${count} tools, of ${MOST_TOOLS} that a server may have.`, hint);
}
