import { z } from 'zod';

type Schema = Readonly<Record<string, unknown>>;

/** Levels of nested types that a signature tells; what is deeper is `Any`. */
const DEEPEST = 3;
/** Alternatives of a type, and values of an enum, that it tells. */
const MOST_ALTERNATIVES = 8;
const LONGEST_VALUE = 40;

const objectSchema = z.looseObject({
  properties: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
  required: z.array(z.string()).optional(),
});

const SIMPLE: Readonly<Record<string, string>> = {
  string: 'str',
  integer: 'int',
  number: 'float',
  boolean: 'bool',
  null: 'None',
  object: 'dict',
  array: 'list',
};

/** Signature of a tool as Python would have it: `list_issues(*, repo: str, state: Literal["open"] = ...) -> list`. */
export function signatureOf(name: string, input: Schema, output: Schema | undefined): string {
  const { properties = {}, required = [] } = objectSchema.safeParse(input).data ?? {};
  const names = Object.keys(properties).sort((a, b) => Number(required.includes(b)) - Number(required.includes(a)));
  const parameters = names.map((parameter) => {
    const type = typeOf(properties[parameter], 0);
    return `${parameter}: ${type}${required.includes(parameter) ? '' : ' = ...'}`;
  });
  const all = parameters.length > 0 ? ['*', ...parameters].join(', ') : '';
  return `${name}(${all})${output ? ` -> ${typeOf(unwrapped(output), 0)}` : ''}`;
}

/** An object of the one field `result` is what stands for a value that is no object: code gets the value. */
function unwrapped(schema: Schema): Schema {
  const { properties = {} } = objectSchema.safeParse(schema).data ?? {};
  const { result } = properties;
  return result && Object.keys(properties).length === 1 ? result : schema;
}

function typeOf(schema: unknown, depth: number): string {
  const parsed = z.record(z.string(), z.unknown()).safeParse(schema).data;
  if (!parsed || depth > DEEPEST) return 'Any';
  const { enum: values, const: constant, type, items, anyOf, oneOf } = parsed;
  if (constant !== undefined) return `Literal[${literal(constant)}]`;
  if (Array.isArray(values)) return `Literal[${short(values.map(literal), ', ')}]`;
  const alternatives = Array.isArray(anyOf) ? anyOf : Array.isArray(oneOf) ? oneOf : undefined;
  if (alternatives) return short([...new Set(alternatives.map((one) => typeOf(one, depth + 1)))], ' | ');
  if (Array.isArray(type))
    return short([...new Set(type.map((one) => typeOf({ ...parsed, type: one }, depth + 1)))], ' | ');
  if (type === 'array' && items !== undefined) return `list[${typeOf(items, depth + 1)}]`;
  return SIMPLE[String(type)] ?? 'Any';
}

function literal(value: unknown): string {
  const text =
    typeof value === 'boolean' ? (value ? 'True' : 'False') : value === null ? 'None' : JSON.stringify(value);
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text;
}

function short(parts: readonly string[], separator: string): string {
  if (parts.length === 0) return 'Any';
  return parts.length > MOST_ALTERNATIVES
    ? [...parts.slice(0, MOST_ALTERNATIVES), '...'].join(separator)
    : parts.join(separator);
}
