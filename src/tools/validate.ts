import type { z } from 'zod';
import { GloveboxError } from '../errors.ts';
import { nearest } from '../lib/nearest.ts';
import { type AnyTool, describeTool, inputShape } from './description.ts';
import { normalizeInput, readArguments } from './normalize-input.ts';
import type { Tool } from './tool.ts';

/** Longest name for which similar names are searched. The time of the search grows with the square of the length. */
const LONGEST_NAME = 64;
const MOST_PROBLEMS = 4;
/** Most unknown names for which similar names are searched. */
const MOST_NAMED = 100;

/**
 * Checks the input of a tool, for both protocols.
 * @throws GloveboxError `invalid_input` that names the invalid arguments and all valid ones
 */
export function validateInput<Input extends { session_id?: string | undefined }>(
  tool: Tool<Input>,
  sent: unknown = {},
): Input {
  const given = readArguments(sent);
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    const kind = Array.isArray(given) ? 'an array' : `a ${typeof given}`;
    throw invalid(tool, [`takes an object of arguments, not ${kind}`]);
  }
  const unknown = unknownArguments(tool, given);
  const parsed = tool.input.safeParse(normalizeInput(given, inputShape(tool)));
  if (parsed.success && unknown.length === 0) return parsed.data;
  const issues = (parsed.error?.issues ?? []).filter(
    ({ code, path }) => code !== 'unrecognized_keys' || path.length > 0,
  );
  const problems = [
    ...unknown.slice(0, MOST_PROBLEMS).map((name) => `has no argument ${quote(name)}`),
    ...issues.slice(0, MOST_PROBLEMS).map((issue) => describeIssue(issue, given)),
  ].slice(0, MOST_PROBLEMS);
  throw invalid(tool, problems, unknown.length + issues.length, unknown);
}

function unknownArguments(tool: AnyTool, given: object): string[] {
  const { properties, additionalProperties = false } = describeTool(tool).inputSchema;
  if (additionalProperties !== false) return [];
  return Object.keys(given).filter((name) => !Object.hasOwn(properties ?? {}, name));
}

function describeIssue(issue: z.core.$ZodIssue, given: object): string {
  const [name, ...rest] = issue.path;
  if (name === undefined) return `cannot use these arguments: ${lowered(issue.message)}`;
  if (rest.length === 0 && !Object.hasOwn(given, name)) return `needs the argument ${quote(String(name))}`;
  // The reason for an invalid key is one level deeper.
  const message = (issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined) ?? issue.message;
  const within = rest.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`)).join('');
  return `cannot use ${quote(String(name) + within)}: ${lowered(message)}`;
}

/** @param problems the first ones of `count` */
function invalid(
  tool: AnyTool,
  problems: readonly string[],
  count = problems.length,
  unknown: readonly string[] = [],
): GloveboxError {
  const shown = count > problems.length ? [...problems, `and ${count - problems.length} more`] : problems;
  const names = Object.keys(describeTool(tool).inputSchema['properties'] ?? {});
  const meant = unknown
    .slice(0, MOST_NAMED)
    .filter((name) => name.length <= LONGEST_NAME)
    .map((name) => nearest(name, names))
    .find((name) => name !== undefined);
  const hint = `${meant ? `Did you mean "${meant}"? ` : ''}Arguments of ${tool.name}: ${listArguments(tool)}.`;
  return new GloveboxError('invalid_input', `${tool.name} ${shown.join('; ')}.`, { hint });
}

function listArguments(tool: AnyTool): string {
  const { properties, required } = inputShape(tool) as {
    properties?: Record<string, { type?: unknown }>;
    required?: readonly string[];
  };
  const listed = Object.entries(properties ?? {}).map(([name, { type }]) => {
    const facts = [type, required?.includes(name) ? 'required' : undefined].filter((fact) => typeof fact === 'string');
    return facts.length > 0 ? `${name} (${facts.join(', ')})` : name;
  });
  return listed.join(', ') || 'none';
}

/** Quotes and shortens text of a caller for a message. */
function quote(name: string): string {
  return JSON.stringify(name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}…` : name);
}

function lowered(message: string): string {
  const short = message.length > 300 ? `${message.slice(0, 300)}…` : message;
  return short.charAt(0).toLowerCase() + short.slice(1).replace(/\.$/, '');
}
