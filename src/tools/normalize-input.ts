import { parseJson } from '../lib/json-input.ts';
import type { JsonSchema } from './description.ts';

/** Longest text that is read as a number, in characters. */
const LONGEST_NUMBER = 32;
/** Longest text that is read as a list, in characters. More than five hundred requirements fit. */
const LONGEST_LIST = 65_536;
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
type Properties = Readonly<Record<string, JsonSchema>>;

/** Arguments that came as the text of a JSON object, or as null for none, as what is meant. Anything else as it is. */
export function readArguments(given: unknown): unknown {
  if (given === null || given === undefined || given === '') return {};
  const parsed = typeof given === 'string' ? readJson(given) : undefined;
  return isObject(parsed) ? parsed : given;
}

/**
 * Arguments as the schema describes them, where a model or a client has written them in another way that has exactly
 * one reading: null and empty text for what is optional, text for numbers, booleans and lists. Arguments that the schema
 * does not know are left out.
 */
export function normalizeInput(given: object, schema: JsonSchema): Record<string, unknown> {
  const { properties = {}, required = [] } = schema as { properties?: Properties; required?: readonly string[] };
  const normal: Record<string, unknown> = {};
  for (const [name, described] of Object.entries(properties)) {
    if (!Object.hasOwn(given, name)) continue;
    const value = (given as Record<string, unknown>)[name];
    if (value === null || value === '') {
      if (required.includes(name)) normal[name] = value;
    } else normal[name] = normalizeValue(value, described);
  }
  return normal;
}

function normalizeValue(value: unknown, schema: JsonSchema): unknown {
  if (typeof value === 'string' && schema['type'] === 'string') return value;
  const types = typesOf(schema);
  if (types.has('object')) return normalizeRecord(value);
  if (typeof value !== 'string' || types.has('string')) return value;
  if (types.has('array')) return readList(value);
  if (types.has('boolean')) return readBoolean(value);
  if (types.has('number') || types.has('integer')) return readNumber(value);
  return value;
}

function typesOf({ type, anyOf = [] }: JsonSchema): ReadonlySet<unknown> {
  const inner = (anyOf as readonly JsonSchema[]).map((option) => option['type']);
  return new Set([type, ...inner].flat());
}

function readNumber(text: string): unknown {
  const trimmed = text.trim();
  if (trimmed.length > LONGEST_NUMBER || !NUMBER.test(trimmed)) return text;
  const value = Number(trimmed);
  const isExact = Number.isInteger(value) ? Number.isSafeInteger(value) : Number.isFinite(value);
  return isExact ? value : text;
}

function readBoolean(text: string): unknown {
  const trimmed = text.trim().toLowerCase();
  if (trimmed === 'true' || trimmed === '1') return true;
  if (trimmed === 'false' || trimmed === '0') return false;
  return text;
}

function readList(text: string): unknown {
  if (text.length > LONGEST_LIST) return [text];
  const parsed = readJson(text) ?? readJson(asJson(text));
  return Array.isArray(parsed) ? parsed : [text];
}

/** A list as Python writes it, of texts without quotes or escapes in them. */
function asJson(text: string): string {
  return /["\\]/.test(text) ? '' : text.replaceAll("'", '"').replace(/,\s*\]\s*$/, ']');
}

/** Values by name, such as variables: as text where they are numbers, left out where they are null. */
function normalizeRecord(value: unknown): unknown {
  const read = typeof value === 'string' ? (readJson(value) ?? value) : value;
  const pairs = typeof read === 'string' ? [read] : read;
  if (Array.isArray(pairs)) return fromPairs(pairs) ?? value;
  if (!isObject(read)) return value;
  const entries = Object.entries(read).filter(([, inner]) => inner !== null);
  return Object.fromEntries(entries.map(([name, inner]) => [name, isPlainNumber(inner) ? String(inner) : inner]));
}

/** `NAME=value` each, no name twice. */
function fromPairs(pairs: readonly unknown[]): Record<string, string> | undefined {
  const found = new Map<string, string>();
  for (const pair of pairs) {
    const at = typeof pair === 'string' ? pair.indexOf('=') : -1;
    if (typeof pair !== 'string' || at < 1 || found.has(pair.slice(0, at))) return undefined;
    found.set(pair.slice(0, at), pair.slice(at + 1));
  }
  return Object.fromEntries(found);
}

/** Whether a value is a number in plain decimal notation. */
function isPlainNumber(value: unknown): boolean {
  return typeof value === 'number' && /^-?\d+(\.\d+)?$/.test(String(value));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses JSON text of an object or a list. Other values are not parsed. */
function readJson(text: string): unknown {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
