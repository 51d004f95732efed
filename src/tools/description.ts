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

/** The description that MCP, REST and OpenAPI share; made once per tool, for it takes longer than a call does. */
export function describeTool(tool: AnyTool): ToolDescription {
  const known = described.get(tool);
  if (known) return known;
  const { effect } = tool;
  const description: ToolDescription = {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: toJsonSchema(tool.input, 'input'),
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
