import { z } from 'zod';
import type { Tool } from './tool.ts';

/** Any tool, as the protocols see it. */
export type AnyTool = Tool<{ session_id?: string | undefined }>;

export type JsonSchema = Readonly<Record<string, unknown>>;

/** What callers are told of a tool, ready to be sent. */
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

/** The description that MCP, REST and OpenAPI share; made once per tool, for it takes longer than a call does. */
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

/** The schema of a tool's input as it is checked, for whoever reads what a caller meant. */
export function inputShape(tool: AnyTool): JsonSchema {
  const known = shapes.get(tool);
  if (known) return known;
  const shape = toJsonSchema(tool.input, 'input');
  shapes.set(tool, shape);
  return shape;
}

/**
 * The same without what clients with strict schemas refuse or drop: bounds of a text's length, which are told when they
 * are not kept, and objects with names of their own, which are advertised as lists of `NAME=value`.
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

/** JSON Schema 2020-12 of an object, without what only zod needs to say. */
function toJsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonSchema & { type: 'object' } {
  const { $schema: _, ...converted } = z.toJSONSchema(schema, {
    io,
    override: ({ jsonSchema }) => {
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      // A client that keeps the schema must not refuse the fields that a later server adds.
      if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return { ...converted, type: 'object' };
}
