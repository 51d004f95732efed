import type { ExecutionEnd, OutputSink } from '../sandbox/execution.ts';
import { type Captured, OutputCapture } from '../sandbox/output.ts';
import { ResultCollector } from '../sandbox/results.ts';
import type { ExecutionOutput } from './execution-output.ts';
import { ignoreEvents, type ToolContext } from './tool.ts';

export interface OutputLimits {
  /** Bytes of each text stream in a result. */
  readonly outputLimit: number;
  /** Bytes of one rich result, and of all of one execution. */
  readonly results: { readonly limit: number; readonly total: number };
}

type TextStream = 'stdout' | 'stderr';

/** The output of one execution: folded into the result, and told to the caller as it comes. */
export class OutputStreams {
  readonly #emit: ToolContext['emit'];
  readonly #texts: Record<TextStream, { capture: OutputCapture; decoder: InstanceType<typeof TextDecoder> }>;
  readonly #results: ResultCollector;

  constructor(emit: ToolContext['emit'], { outputLimit, results }: OutputLimits) {
    const open = () => ({ capture: new OutputCapture(outputLimit), decoder: new TextDecoder() });
    this.#emit = emit;
    this.#texts = { stdout: open(), stderr: open() };
    this.#results = new ResultCollector(results);
  }

  readonly take: OutputSink = (name, chunk) => {
    if (name === 'display') return this.#display(chunk);
    const { capture, decoder } = this.#texts[name];
    capture.add(chunk);
    if (this.#emit === ignoreEvents) return undefined;
    return this.#tell(name, decoder.decode(chunk, { stream: true }));
  };

  /** Tells what is left of a character that never became whole. */
  async finish(): Promise<void> {
    for (const name of ['stdout', 'stderr'] as const) await this.#tell(name, this.#texts[name].decoder.decode());
  }

  fold({ failure, report }: ExecutionEnd): Pick<ExecutionOutput, 'stdout' | 'stderr' | 'results' | 'truncated'> {
    const stdout = this.#texts.stdout.capture.result();
    const stderr = this.#texts.stderr.capture.result();
    const truncated = {
      ...describeCut(stdout, report?.kept?.stdout, 'stdout'),
      ...describeCut(stderr, report?.kept?.stderr, 'stderr'),
    };
    const results = this.#results.results;
    return {
      stdout: stdout.text,
      stderr: failure === undefined ? stderr.text : `${stderr.text}${failure}\n`,
      ...(results.length > 0 ? { results } : {}),
      ...(Object.keys(truncated).length > 0 ? { truncated } : {}),
    };
  }

  async #display(chunk: Buffer): Promise<void> {
    // All of them begun now: the next chunk's must not come in between.
    await Promise.all(this.#results.add(chunk).map((result) => this.#emit({ type: 'display', result })));
  }

  #tell(type: TextStream, text: string): void | Promise<void> {
    return text === '' ? undefined : this.#emit({ type, text });
  }
}

function describeCut(
  { leftOut, total }: Captured,
  kept: { path: string; bytes: number } | undefined,
  name: TextStream,
): ExecutionOutput['truncated'] {
  if (leftOut === 0) return {};
  return {
    [name]: { bytes: leftOut, total_bytes: total, ...(kept ? { file: kept.path, file_bytes: kept.bytes } : {}) },
  };
}
