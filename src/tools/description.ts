import { z } from 'zod';
import type { Tool } from './tool.ts';

/** Tool with any input and output, as the protocols use it. */
export type AnyTool = Tool<{ session_id?: string | undefined }>;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Description of a tool, ready to be sent to callers. */
export interface ToolDescription {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: JsonSchema & { readonly type: 'object' };
  readonly outputSchema: JsonSchema & { readonly type: 'object' };
  readonly annotations: {
    readonly title: string;
    readonly readOnlyHint: boolean;
    readonly destructiveHint: boolean;
    readonly idempotentHint: boolean;
    readonly openWorldHint: boolean;
  };
}

const described = new WeakMap<AnyTool, ToolDescription>();
const shapes = new WeakMap<AnyTool, JsonSchema>();

/** Returns the description shared by MCP, REST and OpenAPI. Created once per tool, because that takes longer than a call. */
export function describeTool(tool: AnyTool): ToolDescription {
  const known = described.get(tool);
  if (known) return known;
  const { effect } = tool;
  const description: ToolDescription = {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: forStrictClients(toJsonSchema(tool.input, 'input')),
    outputSchema: toJsonSchema(tool.output, 'output'),
    annotations: {
      title: tool.title,
      readOnlyHint: effect === 'reads',
      destructiveHint: effect === 'changes' || effect === 'ends',
      idempotentHint: effect === 'reads' || effect === 'ends',
      openWorldHint: tool.reachesOut ?? false,
    },
  };
  described.set(tool, description);
  return description;
}

/** Returns the schema by which a tool's input is checked, for code that normalizes input. */
export function inputShape(tool: AnyTool): JsonSchema {
  const known = shapes.get(tool);
  if (known) return known;
  const shape = toJsonSchema(tool.input, 'input');
  shapes.set(tool, shape);
  return shape;
}

/**
 * Converts a schema for clients with strict schemas. Removes limits of text lengths, which errors name when they are
 * exceeded. Describes objects with free names as lists of `NAME=value`.
 */
function forStrictClients<T extends JsonSchema>(schema: T): T {
  if (Array.isArray(schema)) return schema.map(forStrictClients) as unknown as T;
  if (typeof schema !== 'object' || schema === null) return schema;
  const { minLength: _least, maxLength: _most, propertyNames, ...kept } = schema as Record<string, unknown>;
  if (propertyNames !== undefined) {
    const { additionalProperties: items, ...list } = kept;
    return { ...list, type: 'array', items } as unknown as T;
  }
  const inner = Object.entries(kept).map(([key, value]) => [key, forStrictClients(value as JsonSchema)]);
  return Object.fromEntries(inner) as T;
}

/** Returns the JSON Schema 2020-12 of an object, without the details that only zod needs. */
function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonSchema & { type: 'object' } {
  const { $schema: _, ...converted } = z.toJSONSchema(schema, {
    io,
    override: ({ jsonSchema }) => {
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      // A client that stores the schema must not refuse fields that a later server adds.
      if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return { ...converted, type: 'object' };
}
