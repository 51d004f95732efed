import type { JsonObject } from '../types.ts';

/**
 * What is wrong with a structure by the outermost level of its schema: its type, missing fields, and the types of
 * fields. Undefined if nothing is. More of the schema of a stranger is not carried out here: patterns and references can
 * take for ever.
 */
export function faultOf(value: unknown, schema: JsonObject): string | undefined {
  if (!isOfType(value, schema['type'])) return `it is not of the type ${JSON.stringify(schema['type'])}`;
  if (!isObject(value)) return undefined;
  const { required, properties } = schema;
  const missing =
    Array.isArray(required) && required.find((name) => typeof name === 'string' && !Object.hasOwn(value, name));
  if (typeof missing === 'string') return `the field ${quote(missing)} is missing`;
  if (!isObject(properties)) return undefined;
  for (const [name, of] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name) || !isObject(of) || isOfType(value[name], of['type'])) continue;
    return `the field ${quote(name)} is not of the type ${JSON.stringify(of['type'])}`;
  }
  return undefined;
}

/** Whether a structure only wraps a value, because structures had to be objects: its one field is `result`. */
export function isWrapper(value: unknown, { properties }: JsonObject): value is { readonly result: unknown } {
  return isOnlyResult(properties) && isOnlyResult(value);
}

function isOnlyResult(value: unknown): boolean {
  return isObject(value) && Object.keys(value).join() === 'result';
}

function isOfType(value: unknown, type: unknown): boolean {
  if (Array.isArray(type)) return type.length === 0 || type.some((one) => isOfType(value, one));
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'string':
      return typeof value === 'string';
    case 'number':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
    case 'null':
      return value === null;
    default:
      return true;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function quote(name: string): string {
  return JSON.stringify(name.slice(0, 64));
}
