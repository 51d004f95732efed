import { loadConfig } from '../../src/config/load.ts';
import { ServerMetrics } from '../../src/http/metrics/metrics.ts';
import { createToolsFor } from '../../src/mcp-tools.ts';
import { ExecutionMetrics } from '../../src/scheduling/execution-metrics.ts';
import { version } from '../../src/version.ts';
import { startProtocolServer } from '../../test/mcp/protocol-server.ts';

export interface Schema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly oneOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

export interface Answer {
  readonly $ref?: string;
  readonly description?: string;
  readonly content?: Content;
}

export interface Operation {
  readonly tags?: readonly string[];
  readonly operationId?: string;
  readonly summary?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema?: Schema;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses?: Readonly<Record<string, Answer>>;
}

/** What `GET /openapi.json` answers, as far as the pages use it. */
export interface ApiDocument {
  readonly info: { readonly description: string };
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Answer>>;
  };
}

function unused(): never {
  throw new Error('Nothing but the description is asked for.');
}

/** Asks the REST API for its description, with the default settings and all of its routes. No engine is needed for that. */
export async function readApiDocument(): Promise<ApiDocument> {
  await using server = await startProtocolServer({
    tools: createToolsFor(loadConfig({})),
    app: {
      version,
      metrics: new ServerMetrics(new ExecutionMetrics().registry, { read: unused, engineAnswers: unused }),
      serverInfo: {
        limits: {},
        needsKey: false,
        cacheBytes: unused,
        cacheLimitBytes: 0,
        missing: unused,
        examine: unused,
      },
    },
  });
  const answer = await fetch(`${server.url}/openapi.json`);
  return (await answer.json()) as ApiDocument;
}
