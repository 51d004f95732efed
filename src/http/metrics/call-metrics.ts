import { Counter, Histogram, type Registry } from 'prom-client';
import { toGloveboxError } from '../../errors.ts';
import type { AnyTool } from '../../tools/description.ts';
import { toOutput } from '../../tools/execution-output.ts';
import type { ToolOutput } from '../../tools/tool.ts';

/** Upper bounds of the histogram's buckets, in seconds. */
const BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

/** Counts the calls of tools by callers as they end. */
export class CallMetrics {
  readonly #calls: Counter<'transport' | 'tool' | 'outcome'>;
  readonly #durations: Histogram<'tool'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#calls = new Counter({
      name: 'glovebox_calls_total',
      help: 'Calls of tools that have ended: ok, another status of the answer, or the code of the error.',
      labelNames: ['transport', 'tool', 'outcome'],
      registers,
    });
    this.#durations = new Histogram({
      name: 'glovebox_call_seconds',
      help: 'How long calls of tools took, from their begin to their answer.',
      labelNames: ['tool'],
      buckets: BUCKETS_S,
      registers,
    });
  }

  /** Makes tools of which each call is counted. */
  countTools(tools: readonly AnyTool[], transport: 'rest' | 'mcp'): readonly AnyTool[] {
    return tools.map((tool) => {
      const follow = <T extends ToolOutput>(output: Promise<T>) => this.#follow(transport, tool.name, output);
      const { hold } = tool;
      // A series that begins with its first failure would hide that failure from `increase`.
      this.#calls.inc({ transport, tool: tool.name, outcome: 'internal_error' }, 0);
      return {
        ...tool,
        handle: async (input, context) => await follow(tool.handle(input, context)),
        ...(hold && {
          hold: async (input, context, clientTools) => {
            const held = hold(input, context, clientTools);
            // Its caller comes back for its end, or does not: it is counted in either case.
            void follow(held.then(async ({ ended }) => toOutput(await ended))).catch(() => {});
            return await held;
          },
        }),
      };
    });
  }

  async #follow<T extends ToolOutput>(transport: string, tool: string, output: Promise<T>): Promise<T> {
    const begin = performance.now();
    let outcome = 'ok';
    try {
      const { status } = await output;
      if (typeof status === 'string') outcome = status;
      return await output;
    } catch (error) {
      outcome = toGloveboxError(error).code;
      throw error;
    } finally {
      this.#calls.inc({ transport, tool, outcome });
      this.#durations.observe({ tool }, (performance.now() - begin) / 1000);
    }
  }
}
