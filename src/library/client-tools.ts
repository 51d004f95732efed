import { GloveboxError } from '../errors.ts';
import { CLIENT_TOOL_NAME, type ClientToolAnswer, type ClientTools } from '../execution/tool-access.ts';

/** Tool of this program, which code calls as `tools.client.NAME`. */
export interface ClientToolOptions {
  /** For the code's `help()`, and for the model that writes the code. */
  readonly description?: string | undefined;
  /** JSON Schema of its arguments. Default: any. */
  readonly inputSchema?: Readonly<Record<string, unknown>> | undefined;
  /**
   * Carries out a call. The code gets what it returns, as JSON; if it throws, the code gets a `ToolError` with the message.
   * The arguments come from untrusted code: nothing but the code itself has checked them by the schema.
   */
  readonly handler: (args: Readonly<Record<string, unknown>>, call: { readonly signal: AbortSignal }) => unknown;
}

/** @throws GloveboxError `invalid_input` for a name that code could not call */
export function toClientTools(given: Readonly<Record<string, ClientToolOptions>>): ClientTools {
  const tools = new Map(Object.entries(given));
  for (const name of tools.keys()) {
    if (CLIENT_TOOL_NAME.test(name)) continue;
    throw new GloveboxError('invalid_input', `${JSON.stringify(name.slice(0, 80))} is no name of a tool.`, {
      hint: 'Use 1 to 64 letters, digits, "_", "-" or ".", beginning with a letter or "_".',
    });
  }
  return {
    tools: [...tools].map(([name, { description, inputSchema }]) => ({ name, description, inputSchema })),
    call: async (name, args, signal) => await answer(async () => await tools.get(name)?.handler(args, { signal })),
  };
}

async function answer(call: () => Promise<unknown>): Promise<ClientToolAnswer> {
  try {
    const text = JSON.stringify((await call()) ?? null);
    return text === undefined
      ? { error: 'The tool returned nothing that JSON can hold.' }
      : { value: JSON.parse(text) };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}
